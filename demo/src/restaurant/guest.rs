//! One guest's evening: signs in by phone, looks at the menu, orders, pays, and waits for the number.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::api::Api;
use super::sandbox::Phones;
use super::staff;

/// How often a guest tries to pay whose card or bank did not work.
const TRIES: u32 = 4;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Meal {
    pub paid: Option<Payment>,
    /// Why attempts to pay were refused.
    pub refusals: Vec<String>,
    /// From asking to pay to the answer that counted.
    pub took: Duration,
}

/// What was paid, in minor units.
#[derive(Debug, Clone, Default)]
pub struct Payment {
    pub amount: i64,
    pub card: i64,
    pub bonus: i64,
}

/// A guest who has signed in.
pub struct Guest {
    api: Api,
    random: StdRng,
    points: i64,
}

impl Guest {
    /// Comes in: gets a code by SMS, and tokens for it.
    pub async fn come_in(
        api: &Api,
        phones: &Phones,
        staff: &Api,
        number: u64,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number));
        let phone = format!("+7701{:07}", random.random_range(0..10_000_000));
        let locale = ["ru", "kk", "en"][random.random_range(0..3)];
        let asked = json!({"phone": phone, "deviceId": Uuid::now_v7().to_string(), "locale": locale});
        let answer = api.do_post("/api/auth/quick-auth", &asked).await?;
        let temporary = answer["temporaryToken"].as_str().context("no temporary token")?.to_owned();
        let code = wait_for_code(phones, &phone).await?;
        let confirm = json!({"phone": phone, "code": code, "temporaryToken": temporary});
        let answer = api.do_post("/api/auth/confirm", &confirm).await?;
        let user_id = answer["user"]["id"].as_str().context("no user")?;
        // Every third has been here before and has points.
        let points = if number.is_multiple_of(3) { random.random_range(10_000..150_000) } else { 0 };
        if points > 0 {
            staff::give_points(staff, user_id, points).await?;
        }
        let api = api.signed_in(answer["accessToken"].as_str().context("no access token")?);
        Ok(Self { api, random, points })
    }

    /// Orders and pays. The number is told as soon as there is one.
    pub async fn eat(mut self, told: impl Fn(u64, &str)) -> anyhow::Result<Meal> {
        let menu = self.api.get("/api/menu/categories").await?;
        let order = json!({"items": self.choose(&menu)?, "idempotencyKey": Uuid::now_v7().to_string()});
        let order = self.api.do_post("/api/orders/create", &order).await?;
        let order_id = order["orderId"].as_str().context("no order")?.to_owned();
        let number = order["boardNumber"].as_u64().context("no number")?;
        told(number, &order_id);
        let total = amount(&order["total"]["amountMinor"]);

        let (begun, mut refusals) = (Instant::now(), Vec::new());
        for _ in 0..TRIES {
            let bonus = self.points.min(total * 3 / 10);
            let payment = json!({
                "cardToken": format!("tok_guest_{}", Uuid::now_v7().simple()), "bonusAmount": bonus.to_string(),
                "idempotencyKey": Uuid::now_v7().to_string(),
            });
            match self.api.post(&format!("/api/orders/{order_id}/payment"), &payment).await? {
                Ok(paid) => {
                    let paid = Payment {
                        amount: amount(&paid["amountMinor"]),
                        card: amount(&paid["cardMinor"]),
                        bonus: amount(&paid["bonusMinor"]),
                    };
                    return Ok(Meal { paid: Some(paid), refusals, took: begun.elapsed() });
                }
                Err(refused) => refusals.push(refused.reason),
            }
            tokio::time::sleep(Duration::from_millis(self.random.random_range(200..1500))).await;
        }
        Ok(Meal { paid: None, refusals, took: begun.elapsed() })
    }

    fn choose(&mut self, menu: &Value) -> anyhow::Result<Vec<Value>> {
        let categories = menu["categories"].as_array().map(Vec::as_slice).unwrap_or_default();
        let dishes: Vec<&Value> = categories
            .iter()
            .flat_map(|category| category["dishes"].as_array().into_iter().flatten())
            .filter(|dish| dish["available"] == true)
            .collect();
        if dishes.is_empty() {
            bail!("there is nothing to eat: {menu}");
        }
        let mut items = Vec::new();
        for _ in 0..self.random.random_range(1..=3) {
            let dish = dishes[self.random.random_range(0..dishes.len())];
            let modifiers = dish["modifiers"].as_array().map(Vec::as_slice).unwrap_or_default();
            let wanted: Vec<_> = modifiers
                .iter()
                .filter(|_| self.random.random_bool(0.3))
                .map(|modifier| modifier["id"].clone())
                .collect();
            let quantity = self.random.random_range(1..=2);
            items.push(json!({"dishId": dish["id"], "quantity": quantity, "modifierIds": wanted}));
        }
        Ok(items)
    }
}

async fn wait_for_code(phones: &Phones, phone: &str) -> anyhow::Result<String> {
    let begun = Instant::now();
    loop {
        if let Some(code) = phones.code(phone) {
            return Ok(code);
        }
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("no code came to {phone} within a minute");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An amount as JSON has it.
pub fn amount(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_i64()).unwrap_or_default()
}
