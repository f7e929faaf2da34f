//! Guests, staff and neighbours of the restaurant, as tests need them.

use std::time::Duration;

use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Answer, Mesh, PATIENCE, eventually, unique};

/// A guest who has signed in by phone.
pub struct Guest {
    pub mesh: Mesh,
    pub token: String,
    pub user_id: String,
    pub phone: String,
}

/// An order that waits for its payment.
pub struct Placed {
    pub id: String,
    pub number: u64,
    pub total: i64,
}

/// A phone that no other test has.
pub fn phone() -> String {
    let digits: u64 = unique("").bytes().fold(7, |sum, byte| sum.wrapping_mul(131).wrapping_add(byte.into()));
    format!("+7705{:07}", digits % 10_000_000)
}

impl Guest {
    /// Signs in with the code that comes by SMS.
    pub async fn new(mesh: &Mesh) -> Self {
        let phone = phone();
        let asked = json!({"phone": phone, "deviceId": unique("device"), "locale": "ru"});
        let answer = mesh.post("/api/auth/quick-auth", None, &asked).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let temporary = answer.body["temporaryToken"].as_str().unwrap().to_owned();
        let code = code(mesh, &phone).await;
        let confirm = json!({"phone": phone, "code": code, "temporaryToken": temporary});
        let answer = mesh.post("/api/auth/confirm", None, &confirm).await.ok();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            mesh: mesh.clone(),
            token: text(&answer["accessToken"]),
            user_id: text(&answer["user"]["id"]),
            phone,
        }
    }

    /// Orders this many of the first dish that there is.
    pub async fn order(&self, quantity: u32) -> Placed {
        let menu = self.mesh.read("/api/menu/categories", None).await.ok();
        let mut dishes =
            menu["categories"].as_array().unwrap().iter().flat_map(|it| it["dishes"].as_array().unwrap());
        let dish = dishes.find(|dish| dish["available"] == true).expect("there is something to eat");
        let body =
            json!({"items": [{"dishId": dish["id"], "quantity": quantity}], "idempotencyKey": unique("k")});
        let answer = self.mesh.post("/api/orders/create", Some(&self.token), &body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        Placed {
            id: answer.body["orderId"].as_str().unwrap().to_owned(),
            number: answer.body["boardNumber"].as_u64().unwrap(),
            total: number(&answer.body["total"]["amountMinor"]),
        }
    }

    pub async fn pay(&self, order: &Placed, bonus: i64, key: &str) -> Answer {
        let body = json!({"cardToken": "tok_visa", "bonusAmount": bonus.to_string(), "idempotencyKey": key});
        let path = format!("/api/orders/{}/payment", order.id);
        self.mesh.post(&path, Some(&self.token), &body).await
    }

    /// Waits until the order is this far.
    pub async fn wait_for(&self, order: &Placed, status: &str) {
        let path = format!("/api/v1/orders/{}", order.id);
        eventually(&format!("order {} to be {status}", order.number), Duration::from_secs(60), async || {
            let answer = self.mesh.read(&path, Some(&self.token)).await;
            (answer.body["order"]["status"] == format!("ORDER_STATUS_{status}").as_str()).then_some(())
        })
        .await;
    }

    /// The points that can be spent.
    pub async fn points(&self) -> i64 {
        number(&self.mesh.read("/api/v1/bonus", Some(&self.token)).await.ok()["account"]["balance"])
    }
}

/// Somebody with every role of the restaurant.
pub async fn staff(mesh: &Mesh) -> Person {
    let roles = ["cashier", "hall_staff", "bonus_manager", "analyst", "kitchen_manager", "menu_editor"];
    Person::with_roles(mesh, roles).await
}

/// The menu and the kitchen of the demo; a second time changes nothing.
pub fn open_kitchen(mesh: &Mesh) {
    mesh.artel(&["restaurant", "load", concat!(env!("CARGO_MANIFEST_DIR"), "/system/demo/restaurant.json")]);
}

/// What a sandbox is to do wrong from now on; nothing with `{}`.
pub async fn faults(mesh: &Mesh, sandbox: &str, faults: Value) {
    let url = format!("{}/sandbox/faults", mesh.place(sandbox).trim_end_matches('/'));
    let answer = mesh.http.put(url).json(&faults).send().await.unwrap();
    assert!(answer.status().is_success(), "{sandbox}: {}", answer.text().await.unwrap());
}

/// The effects that a sandbox has seen.
pub async fn ledger(mesh: &Mesh, sandbox: &str) -> Vec<Value> {
    let url = format!("{}/sandbox/ledger", mesh.place(sandbox).trim_end_matches('/'));
    let page: Value = mesh.http.get(url).send().await.unwrap().json().await.unwrap();
    page["entries"].as_array().unwrap().clone()
}

/// What the bank did for a payment: what it charged and what it gave back, in minor units, and how often it charged.
pub async fn bank(mesh: &Mesh, payment_id: &str) -> (i64, i64, usize) {
    let effects = ledger(mesh, "bank").await;
    let charges: Vec<i64> = effects
        .iter()
        .filter(|it| it["kind"] == "charged" && it["key"] == payment_id)
        .map(|it| number(&it["amountMinor"]))
        .collect();
    let refunds = effects.iter().filter(|it| it["kind"] == "refunded" && it["chargeKey"] == payment_id);
    (charges.iter().sum(), refunds.map(|it| number(&it["amountMinor"])).sum(), charges.len())
}

/// How many receipts of a payment are on paper.
pub async fn printed(mesh: &Mesh, payment_id: &str) -> usize {
    let effects = ledger(mesh, "printer").await;
    let printed = effects.iter().filter(|it| it["kind"] == "printed");
    printed.filter(|it| it["slip"]["externalId"] == payment_id).count()
}

/// The code that came to a phone last.
pub async fn code(mesh: &Mesh, phone: &str) -> String {
    eventually("a code by SMS", PATIENCE, async || {
        let digits = phone.trim_start_matches('+');
        let sent = ledger(mesh, "sms").await;
        let mut mine =
            sent.iter().rev().filter(|it| it["phone"].as_str().is_some_and(|to| to.contains(digits)));
        mine.find_map(|it| {
            let words = it["text"].as_str()?.split(|c: char| !c.is_ascii_digit());
            words.into_iter().find(|word| word.len() == 6).map(str::to_owned)
        })
    })
    .await
}

/// A number as JSON has it, text or not.
pub fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64()).unwrap_or_default()
}
