//! The client over the sandbox: each fault is understood as what it is.

use std::time::Duration;

use artel_vendors::push::{self, Effect, Options};
use artel_vendors::{Act, At, Faults, Running};

use super::tests::ACCOUNT;
use super::*;
use crate::config::tests::settings;

async fn sandbox(options: Options) -> Running<push::Push> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    push::start(options).await.unwrap()
}

fn client(sandbox: &Running<push::Push>, project: &str) -> Fcm {
    let mut account: serde_json::Value = serde_json::from_str(ACCOUNT).unwrap();
    account["token_uri"] = format!("{}/token", sandbox.url()).into();
    let text = format!(
        "[notify.push]\nurl = '{}'\nproject = '{project}'\ntimeout_ms = 3000\nkey = '''{account}'''",
        sandbox.url()
    );
    Fcm::new(&settings(&text).unwrap().push).unwrap()
}

fn message(token: &str) -> Message<'_> {
    Message {
        token,
        title: "Заказ №12 готов",
        body: "Заберите его на выдаче.",
        subject_id: "the order",
        event_type: "order.ready",
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Told(answer) => format!("{answer:?}"),
        Outcome::Unregistered => "Unregistered".to_owned(),
    }
}

#[tokio::test]
async fn each_fault_is_understood_as_what_it_is() {
    let sandbox = sandbox(Options::default()).await;
    let fcm = client(&sandbox, "artel-sandbox");
    let slow = Act::Slow(Duration::from_secs(20));
    for (act, token, wanted, delivered) in [
        (Act::Ok, "a", "Taken", 1),
        (Act::Fail, "b", "NotNow", 0),
        (Act::Lose, "c", "Unknown", 1),
        (slow, "d", "Unknown", 1),
        (Act::Decline, "e", "Never", 0),
        (Act::Ok, "unregistered-f", "Unregistered", 0),
    ] {
        sandbox.faults().set(Faults::script([act]));
        let outcome = told(&fcm.push(message(token)).await);
        assert!(outcome.starts_with(wanted), "{act:?}: {outcome}");
        let known = |effect: &Effect| {
            let Effect::Delivered { token: to, .. } = effect;
            to == token
        };
        assert_eq!(
            sandbox.ledger().iter().filter(|entry| known(&entry.effect)).count(),
            delivered,
            "{act:?}"
        );
    }
    let Effect::Delivered { title, body, data, .. } = sandbox.ledger().remove(0).effect;
    assert_eq!((title.as_str(), body.as_str()), ("Заказ №12 готов", "Заберите его на выдаче."));
    assert_eq!(
        (data["subjectId"].as_str(), data["eventType"].as_str()),
        (Some("the order"), Some("order.ready"))
    );
    sandbox.faults().set(Faults::down());
    assert!(told(&fcm.push(message("g")).await).starts_with("NotNow"));
    sandbox.faults().clear();
    let refused = client(&sandbox, "another-project").push(message("h")).await;
    assert!(told(&refused).starts_with("Never"), "{refused:?}");
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_got_anew() {
    let first = sandbox(Options::default()).await;
    let bind = first.address();
    let fcm = client(&first, "artel-sandbox");
    assert_eq!(fcm.push(message("a")).await, Outcome::Told(Answer::Taken));
    first.stop().await;
    // One that knows nothing of the token.
    let second = sandbox(Options { at: At { bind, data: None }, ..Options::default() }).await;
    let mut outcomes = Vec::new();
    while outcomes.last() != Some(&Outcome::Told(Answer::Taken)) {
        outcomes.push(fcm.push(message("b")).await);
        assert!(outcomes.len() < 5, "{outcomes:?}");
    }
    assert!(outcomes.iter().any(|outcome| told(outcome).contains("401")), "{outcomes:?}");
    assert_eq!(second.ledger().len(), 1);
}

#[test]
fn a_key_is_not_told() {
    let text = format!("[notify.push]\nurl = 'http://127.0.0.1:9'\nproject = 'a'\nkey = '''{ACCOUNT}'''");
    let settings = settings(&text).unwrap();
    let told = format!("{settings:?} {:?}", settings.push.account().unwrap());
    assert!(!told.contains("PRIVATE") && told.contains('@'), "{told}");
}
