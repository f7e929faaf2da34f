//! SMSC's API: everything is answered 200, errors too.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{
    Options,
    messages::{Effect, Sms, parts},
};
use crate::kit::{Desk, Failure, Routes, Told};

const LONGEST_TEXT: usize = 1000;
const UNREACHABLE: &str = "0000000";

#[derive(Clone)]
struct Counter {
    desk: Arc<Desk<Sms>>,
    options: Arc<Options>,
}

type Fields = HashMap<String, String>;

pub(super) fn routes(desk: Arc<Desk<Sms>>, options: Arc<Options>) -> Routes {
    let counter = Counter { desk, options };
    let effects = Router::new().route("/sys/send.php", get(send).post(send));
    let rest = Router::new().route("/sys/status.php", get(status).post(status));
    Routes { effects: effects.with_state(counter.clone()), rest: rest.with_state(counter) }
}

fn failure(code: u8, text: &str) -> Failure {
    Failure::new(Json(json!({"error": text, "error_code": code})))
}

impl Counter {
    /// The fields of the query and the form together, from whom it knows.
    fn admit(&self, query: Option<String>, form: &[u8]) -> Result<Fields, Failure> {
        let query = query.unwrap_or_default();
        let pairs = [query.as_bytes(), form].into_iter().flat_map(form_urlencoded::parse);
        let fields: Fields = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        if field(&fields, "login") != self.options.login || field(&fields, "psw") != self.options.password {
            return Err(failure(2, "authorise error"));
        }
        if field(&fields, "fmt") != "3" {
            return Err(failure(1, "parameters error: this sandbox speaks fmt=3 only"));
        }
        if !field(&fields, "charset").eq_ignore_ascii_case("utf-8") {
            return Err(failure(1, "parameters error: this sandbox reads charset=utf-8 only"));
        }
        Ok(fields)
    }
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map_or("", String::as_str)
}

/// The digits of a number, where it is one.
fn phone(text: &str) -> Option<String> {
    let digits: String = text.trim().trim_start_matches('+').to_owned();
    let number = (10..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    number.then_some(digits)
}

async fn send(
    State(counter): State<Counter>,
    told: Told,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Response, Failure> {
    let fields = counter.admit(query, &body)?;
    let phone = phone(field(&fields, "phones")).ok_or_else(|| failure(7, "invalid number"))?;
    let text = field(&fields, "mes").to_owned();
    if text.is_empty() || text.chars().count() > LONGEST_TEXT {
        return Err(failure(1, "parameters error: mes"));
    }
    let mut id = field(&fields, "id").to_owned();
    if id.is_empty() {
        id = (rand::random::<u32>() >> 1).max(1).to_string();
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if id.len() > 40 || !id.chars().all(plain) {
        return Err(failure(1, "parameters error: id"));
    }
    let parts = parts(&text);
    let mut page = counter.desk.ledger.page();
    if let Some(known) = page.vendor().known(&id, &phone) {
        return Ok(Json(json!({"id": id, "cnt": known.parts})).into_response());
    }
    if told.decline {
        return Err(failure(6, "message is denied"));
    }
    let sender = field(&fields, "sender").to_owned();
    let effect = if phone.ends_with(UNREACHABLE) {
        Effect::Undelivered { id: id.clone(), phone, text }
    } else {
        Effect::Delivered { id: id.clone(), phone, text, sender, parts }
    };
    for _ in 0..if told.twice { 2 } else { 1 } {
        if let Err(error) = page.record(effect.clone()) {
            tracing::error!(%error, "the provider's ledger cannot be written");
            return Err(Failure::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
        }
    }
    Ok(Json(json!({"id": id, "cnt": parts})).into_response())
}

async fn status(
    State(counter): State<Counter>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let fields = counter.admit(query, &body)?;
    let phone = phone(field(&fields, "phone")).ok_or_else(|| failure(1, "parameters error: phone"))?;
    let known = counter.desk.ledger.page().vendor().known(field(&fields, "id"), &phone);
    let Some(known) = known else {
        return Err(failure(3, "message not found"));
    };
    Ok(Json(json!({
        // 1: delivered; 20: it cannot be.
        "status": if known.delivered { 1 } else { 20 },
        "last_date": known.time.format("%d.%m.%Y %H:%M:%S").to_string(),
        "last_timestamp": known.time.timestamp(),
    })))
}
