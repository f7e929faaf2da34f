use artel_vendors::{
    Act, Faults,
    push::{self, Effect},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::{Client, answer};

fn assertion(account: &Value, key: &str, issued: i64) -> String {
    let claims = json!({
        "iss": account["client_email"], "aud": account["token_uri"], "iat": issued, "exp": issued + 3600,
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
    });
    let key = EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
}

async fn grant(client: &Client, issued: i64) -> (u16, Value) {
    let account: Value = serde_json::from_str(push::SERVICE_ACCOUNT).unwrap();
    let assertion = assertion(&account, account["private_key"].as_str().unwrap(), issued);
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    client.form("/token", &[("grant_type", grant), ("assertion", &assertion)]).await
}

async fn send(client: &Client, token: &str, to: &str) -> (u16, Value) {
    let message = json!({"message": {"token": to, "notification": {"title": "№ 12", "body": "Готово"},
        "data": {"orderId": "1"}}});
    let request = client.request("POST", "/v1/projects/artel-sandbox/messages:send").bearer_auth(token);
    answer(request.json(&message)).await
}

#[tokio::test]
async fn a_message_comes_as_often_as_it_is_sent() {
    let push = push::start(push::Options::default()).await.unwrap();
    let client = Client::of(push.url());
    let (status, granted) = grant(&client, chrono::Utc::now().timestamp()).await;
    assert_eq!(status, 200, "{granted}");
    let token = granted["access_token"].as_str().unwrap();
    for _ in 0..2 {
        let (status, sent) = send(&client, token, "phone-1").await;
        assert_eq!(status, 200, "{sent}");
        assert!(sent["name"].as_str().unwrap().starts_with("projects/artel-sandbox/messages/"));
    }
    push.faults().set(Faults::script([Act::Twice]));
    send(&client, token, "phone-1").await;
    assert_eq!(push.ledger().len(), 4);
    let Effect::Delivered { title, body, data, .. } = push.ledger().remove(0).effect;
    assert_eq!((title.as_str(), body.as_str(), data["orderId"].as_str()), ("№ 12", "Готово", Some("1")));

    let (status, gone) = send(&client, token, "unregistered-1").await;
    assert_eq!(status, 404);
    assert_eq!(gone["error"]["details"][0]["errorCode"], "UNREGISTERED");
    assert_eq!(send(&client, token, "").await.0, 400);
    assert_eq!(push.ledger().len(), 4);
}

#[tokio::test]
async fn only_who_signs_with_the_accounts_key_may_send() {
    let push = push::start(push::Options::default()).await.unwrap();
    let client = Client::of(push.url());
    assert_eq!(send(&client, "guess", "phone-1").await.0, 401);
    let (status, refused) = grant(&client, chrono::Utc::now().timestamp() - 7200).await;
    assert_eq!(
        (status, refused["error"].as_str()),
        (400, Some("invalid_grant")),
        "an assertion that has ended"
    );
    let forged = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJtZSJ9.c2lnbmF0dXJl";
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let answer = client.form("/token", &[("grant_type", grant), ("assertion", forged)]).await;
    assert_eq!(answer.0, 400);
    assert!(push.ledger().is_empty());
}
