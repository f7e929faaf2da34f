//! The plain bank: `POST /transactions` and `POST /transactions/{id}/refunds`, each with an `Idempotency-Key`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Options,
    book::{Bank, Charge, Outcome, Refund, Refusal, Wanted},
};
use crate::kit::{Desk, Failure, Routes, Told};

#[derive(Clone)]
struct Counter {
    desk: Arc<Desk<Bank>>,
    options: Arc<Options>,
}

pub(super) fn routes(desk: Arc<Desk<Bank>>, options: Arc<Options>) -> Routes {
    let counter = Counter { desk, options };
    let effects =
        Router::new().route("/transactions", post(charge)).route("/transactions/{id}/refunds", post(refund));
    let rest = Router::new()
        .route("/transactions", get(find_charge))
        .route("/transactions/{id}/refunds", get(find_refund));
    Routes { effects: effects.with_state(counter.clone()), rest: rest.with_state(counter) }
}

fn failure(status: StatusCode, code: &str, message: impl ToString) -> Failure {
    Failure::new((status, Json(json!({"code": code, "message": message.to_string()}))))
}

fn refused(refusal: &Refusal) -> Failure {
    let (status, code) = match refusal {
        Refusal::NoCharge => (StatusCode::NOT_FOUND, "transaction_not_found"),
        Refusal::NumberReused(_) | Refusal::RefundReused(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
        }
        Refusal::TooMuch { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "refund_too_much"),
        Refusal::Io(error) => {
            tracing::error!(%error, "the bank's ledger cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal")
        }
    };
    failure(status, code, refusal)
}

/// The merchant's key of what it wants, if it may want anything.
fn admit(counter: &Counter, headers: &HeaderMap) -> Result<(), Failure> {
    let text = |value: &axum::http::HeaderValue| value.to_str().map(str::to_owned).ok();
    let bearer = headers.get(AUTHORIZATION).and_then(text);
    if bearer != Some(format!("Bearer {}", counter.options.api_key)) {
        return Err(failure(StatusCode::UNAUTHORIZED, "unauthorized", "the API key is not known"));
    }
    Ok(())
}

fn key(headers: &HeaderMap) -> Result<String, Failure> {
    let key = headers.get("idempotency-key").and_then(|value| value.to_str().ok());
    key.filter(|key| !key.is_empty()).map(str::to_owned).ok_or_else(|| {
        failure(StatusCode::BAD_REQUEST, "idempotency_key_missing", "the header Idempotency-Key is required")
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewCharge {
    amount_minor: i64,
    currency: String,
    card_token: String,
    #[serde(default)]
    description: String,
}

async fn charge(
    State(counter): State<Counter>,
    told: Told,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    admit(&counter, &headers)?;
    let key = key(&headers)?;
    let wanted: NewCharge = serde_json::from_slice(&body)
        .map_err(|error| failure(StatusCode::BAD_REQUEST, "invalid_request", error))?;
    if wanted.amount_minor <= 0 {
        return Err(failure(StatusCode::BAD_REQUEST, "invalid_request", "amountMinor must be more than 0"));
    }
    let wanted = Wanted {
        reference: key.clone(),
        key,
        amount_minor: wanted.amount_minor,
        currency: wanted.currency,
        token: wanted.card_token,
        description: wanted.description,
    };
    let mut page = counter.desk.ledger.page();
    match page.charge(wanted, told.decline) {
        Ok(Outcome::Charged(charge)) => {
            Ok((StatusCode::CREATED, Json(transaction(page.vendor(), &charge))).into_response())
        }
        Ok(Outcome::Declined { code, message, .. }) => {
            Err(failure(StatusCode::PAYMENT_REQUIRED, reason(&code), message))
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn reason(code: &str) -> &'static str {
    match code {
        "484" => "insufficient_funds",
        "478" => "card_expired",
        "465" => "card_blocked",
        _ => "card_declined",
    }
}

fn transaction(bank: &Bank, charge: &Charge) -> Value {
    json!({
        "transactionId": charge.transaction_id,
        "idempotencyKey": charge.key,
        "status": "captured",
        "amountMinor": charge.amount_minor,
        "refundedMinor": bank.refunded(&charge.transaction_id),
        "currency": charge.currency,
        "card": charge.card,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sought {
    idempotency_key: String,
}

async fn find_charge(
    State(counter): State<Counter>,
    Query(sought): Query<Sought>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    admit(&counter, &headers)?;
    let page = counter.desk.ledger.page();
    let found: Vec<Value> = match page.vendor().outcome(&sought.idempotency_key) {
        Some(Outcome::Charged(charge)) => vec![transaction(page.vendor(), charge)],
        _ => Vec::new(),
    };
    Ok(Json(json!({"transactions": found})).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewRefund {
    amount_minor: i64,
}

async fn refund(
    State(counter): State<Counter>,
    told: Told,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    admit(&counter, &headers)?;
    let key = key(&headers)?;
    let wanted: NewRefund = serde_json::from_slice(&body)
        .map_err(|error| failure(StatusCode::BAD_REQUEST, "invalid_request", error))?;
    if told.decline {
        return Err(failure(StatusCode::UNPROCESSABLE_ENTITY, "refund_declined", "the refund is declined"));
    }
    match counter.desk.ledger.page().refund(&id, key, Some(wanted.amount_minor)) {
        Ok(refund) => Ok((StatusCode::CREATED, Json(refund_body(&refund))).into_response()),
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn refund_body(refund: &Refund) -> Value {
    json!({"refundId": refund.refund_id, "idempotencyKey": refund.key, "amountMinor": refund.amount_minor})
}

async fn find_refund(
    State(counter): State<Counter>,
    Path(id): Path<String>,
    Query(sought): Query<Sought>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    admit(&counter, &headers)?;
    let page = counter.desk.ledger.page();
    let found: Vec<Value> = page
        .vendor()
        .refunds(&id)
        .iter()
        .filter(|refund| refund.key == sought.idempotency_key)
        .map(refund_body)
        .collect();
    Ok(Json(json!({"refunds": found})).into_response())
}
