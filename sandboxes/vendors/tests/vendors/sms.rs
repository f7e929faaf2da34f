use artel_vendors::{
    Act, Faults,
    sms::{self, Effect},
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{Client, answer};

fn access() -> [(&'static str, &'static str); 4] {
    [("login", "artel"), ("psw", "sandbox-password"), ("fmt", "3"), ("charset", "utf-8")]
}

pub fn request(client: &Client, id: &str, phone: &str, text: &str) -> RequestBuilder {
    client.request("GET", "/sys/send.php").query(&access()).query(&[
        ("id", id),
        ("phones", phone),
        ("mes", text),
    ])
}

pub async fn send(client: &Client, id: &str, phone: &str, text: &str) -> (u16, Value) {
    answer(request(client, id, phone, text)).await
}

#[tokio::test]
async fn a_message_with_a_known_id_goes_out_once() {
    let sms = sms::start(sms::Options::default()).await.unwrap();
    let client = Client::of(sms.url());
    let id = "0193a000-0000-7000-8000-000000000007";
    for _ in 0..2 {
        assert_eq!(send(&client, id, "+77010000001", "Код 123456").await, (200, json!({"id": id, "cnt": 1})));
    }
    // The same by POST, to another number: another message.
    let mut fields = access().to_vec();
    fields.extend([("id", id), ("phones", "77010000002"), ("mes", "Код 123456"), ("sender", "Artel")]);
    assert_eq!(client.form("/sys/send.php", &fields).await.0, 200);
    let delivered: Vec<_> = sms
        .ledger()
        .into_iter()
        .map(|entry| match entry.effect {
            Effect::Delivered { phone, text, sender, .. } => (phone, text, sender),
            other => panic!("{other:?}"),
        })
        .collect();
    let text = "Код 123456".to_owned();
    assert_eq!(
        delivered,
        [
            ("77010000001".to_owned(), text.clone(), String::new()),
            ("77010000002".to_owned(), text, "Artel".to_owned())
        ]
    );
}

#[tokio::test]
async fn a_status_says_what_became_of_a_message() {
    let sms = sms::start(sms::Options::default()).await.unwrap();
    let client = Client::of(sms.url());
    let status = async |id: &str, phone: &str| {
        let request = client.request("GET", "/sys/status.php").query(&access());
        answer(request.query(&[("id", id), ("phone", phone)])).await.1
    };
    sms.faults().set(Faults::script([Act::Fail, Act::Ok]));
    assert_eq!(send(&client, "1", "77010000001", "text").await.0, 503);
    assert_eq!(status("1", "77010000001").await["error_code"], 3);
    send(&client, "1", "77010000001", "text").await;
    assert_eq!(status("1", "+77010000001").await["status"], 1);
    send(&client, "2", "77010000000", "text").await;
    assert_eq!(status("2", "77010000000").await["status"], 20);
}

#[tokio::test]
async fn what_is_wrong_is_answered_200_with_a_code() {
    let sms = sms::start(sms::Options::default()).await.unwrap();
    let client = Client::of(sms.url());
    assert_eq!(send(&client, "1", "12", "text").await.1["error_code"], 7);
    assert_eq!(send(&client, "1", "77010000001", "").await.1["error_code"], 1);
    assert_eq!(send(&client, "an id", "77010000001", "text").await.1["error_code"], 1);
    let stranger = [("login", "artel"), ("psw", "guess"), ("fmt", "3"), ("charset", "utf-8")];
    assert_eq!(
        client.form("/sys/send.php", &stranger).await,
        (200, json!({"error": "authorise error", "error_code": 2}))
    );
    sms.faults().set(Faults::script([Act::Decline]));
    assert_eq!(send(&client, "1", "77010000001", "text").await.1["error_code"], 6);
    assert!(sms.ledger().is_empty());
}
