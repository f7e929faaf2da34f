//! Who works there: one person with every role, as in a small place.

use anyhow::Context as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::Api;
use super::places::Operator;

const ROLES: [&str; 5] = ["cashier", "hall_staff", "bonus_manager", "analyst", "kitchen_manager"];
const PASSWORD: &str = "a long evening ahead";

/// Registers the person, has the operator grant the roles, and signs in.
pub async fn hire(api: &Api, operator: &Operator) -> anyhow::Result<Api> {
    let email = format!("staff-{}@restaurant.example", Uuid::now_v7().simple());
    let person = json!({"email": email, "password": PASSWORD, "displayName": "Staff", "locale": "en"});
    api.do_post("/api/v1/auth/register", &person).await?;
    for role in ROLES {
        operator.run(&["role", "grant", &email, role]).await?;
    }
    let signed_in = api.do_post("/api/v1/auth/login", &json!({"email": email, "password": PASSWORD})).await?;
    Ok(api.signed_in(signed_in["accessToken"].as_str().context("no access token")?))
}

/// Gives a guest points.
pub async fn give_points(staff: &Api, user_id: &str, amount: i64) -> anyhow::Result<()> {
    let gift = json!({
        "userId": user_id, "amount": amount.to_string(), "idempotencyKey": format!("welcome/{user_id}"),
        "comment": "welcome",
    });
    staff.do_post("/api/v1/bonus/grants", &gift).await.map(drop)
}

/// Hands an order to its guest.
pub async fn hand_over(staff: &Api, order_id: &str) -> anyhow::Result<()> {
    staff.do_post(&format!("/api/v1/orders/{order_id}:handOver"), &json!({})).await.map(drop)
}

/// How many receipts wait for the printer.
pub async fn receipts_waiting(staff: &Api) -> anyhow::Result<usize> {
    let mut waiting = 0;
    let mut token = String::new();
    loop {
        let page: Value = staff.get(&format!("/api/v1/receipts?pageSize=200&pageToken={token}")).await?;
        waiting += page["receipts"].as_array().map_or(0, Vec::len);
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => return Ok(waiting),
        }
    }
}
