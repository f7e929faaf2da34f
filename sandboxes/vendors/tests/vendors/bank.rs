use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use artel_vendors::{
    Act, Faults,
    bank::{self, Effect},
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};

use crate::support::{Client, answer, until};

const INVOICE: &str = "000000000000007";

/// What the merchant was told, and how often it still says no before it listens.
#[derive(Default)]
struct Merchant {
    told: Mutex<Vec<Value>>,
    refuses: Mutex<u32>,
}

/// Serves the merchant and gives its address.
async fn merchant(refuses: u32) -> (Arc<Merchant>, String) {
    async fn tell(State(merchant): State<Arc<Merchant>>, Json(body): Json<Value>) -> StatusCode {
        let mut refuses = merchant.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return StatusCode::BAD_GATEWAY;
        }
        merchant.told.lock().unwrap().push(body);
        StatusCode::OK
    }
    let merchant = Arc::new(Merchant { refuses: refuses.into(), ..Merchant::default() });
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = format!("http://{}/webhooks/halyk", listener.local_addr().unwrap());
    let router = Router::new().route("/webhooks/halyk", post(tell)).with_state(merchant.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (merchant, address)
}

async fn token(client: &Client, more: &[(&str, &str)]) -> (u16, Value) {
    let known = bank::Options::default();
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", known.client_id.as_str()),
        ("client_secret", known.client_secret.as_str()),
        ("terminal", known.terminal.as_str()),
        ("scope", "payment"),
    ];
    form.extend_from_slice(more);
    client.form("/epay2/oauth2/token", &form).await
}

async fn pay(client: &Client, token: &str, invoice: &str, amount: Value, post_link: &str) -> (u16, Value) {
    let body = json!({
        "amount": amount, "currency": "KZT", "terminalId": bank::Options::default().terminal,
        "invoiceId": invoice, "accountId": "payment-1", "description": "Order 1", "postLink": post_link,
        "paymentType": "cardId", "cardId": {"id": "tok_visa_4242"},
    });
    answer(client.request("POST", "/api/payments/cards/auth").bearer_auth(token).json(&body)).await
}

async fn payment_token(client: &Client, invoice: &str, amount: &str) -> String {
    let (status, granted) =
        token(client, &[("invoiceID", invoice), ("amount", amount), ("currency", "KZT")]).await;
    assert_eq!(status, 200, "{granted}");
    granted["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_merchant_is_told_until_it_listens_and_twice_where_the_bank_stutters() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    let (merchant, address) = merchant(2).await;
    bank.faults().set(Faults::script([Act::Twice]));
    let token = payment_token(&client, INVOICE, "12.22").await;
    let (status, paid) = pay(&client, &token, INVOICE, json!(12.22), &address).await;
    assert_eq!((status, paid["status"].as_str()), (200, Some("CHARGE")), "{paid}");
    let told = async || {
        let told = merchant.told.lock().unwrap().clone();
        (told.len() == 2).then_some(told)
    };
    let told = until("the post-link", told).await;
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0]["invoiceId"], INVOICE);
    assert_eq!(told[0]["accountId"], "payment-1");
    assert_eq!((told[0]["amount"].as_f64(), told[0]["code"].as_str()), (Some(12.22), Some("ok")));
    let charges = bank.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Charged(_))).count();
    assert_eq!(charges, 1, "told twice, charged once");
}

#[tokio::test]
async fn a_token_pays_for_its_own_payment_only() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    let one = payment_token(&client, INVOICE, "100").await;
    assert_eq!(pay(&client, &one, INVOICE, json!(1000), "").await.0, 403, "another sum");
    assert_eq!(pay(&client, &one, "000000000000008", json!(100), "").await.0, 403, "another invoice");
    let common = token(&client, &[]).await.1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(pay(&client, &common, INVOICE, json!(100), "").await.0, 403, "the common token");
    assert_eq!(pay(&client, "guess", INVOICE, json!(100), "").await.0, 401);
    assert!(bank.ledger().is_empty());
    assert_eq!(pay(&client, &one, INVOICE, json!(100.00), "").await.0, 200);
}

#[tokio::test]
async fn invoices_are_6_to_15_digits() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    for invoice in ["12345", "1234567890123456", "0193a000-0000-7000-8000-000000000007", ""] {
        let asked = [("invoiceID", invoice), ("amount", "100"), ("currency", "KZT")];
        assert_eq!(token(&client, &asked).await.0, 400, "{invoice}");
    }
    let asked = [("invoiceID", INVOICE), ("amount", "1.005"), ("currency", "KZT")];
    assert_eq!(token(&client, &asked).await.0, 400, "half a tiyn");
}

#[tokio::test]
async fn a_plain_charge_needs_its_key() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    let body = json!({"amountMinor": 100, "currency": "KZT", "cardToken": "tok_visa"});
    let (status, refused) = client.post("/transactions", &body).await;
    assert_eq!((status, refused["code"].as_str()), (401, Some("unauthorized")));
    let key = bank::Options::default().api_key;
    let request = || client.request("POST", "/transactions").bearer_auth(&key);
    assert_eq!(answer(request().json(&body)).await.1["code"], "idempotency_key_missing");
    for body in [json!({"amountMinor": 0, "currency": "KZT", "cardToken": "tok_visa"}), json!({})] {
        let (status, refused) = answer(request().header("idempotency-key", "1").json(&body)).await;
        assert_eq!((status, refused["code"].as_str()), (400, Some("invalid_request")));
    }
    assert!(bank.ledger().is_empty());
}
