//! Halyk Epay: a token for each payment and one for all else, payment by a saved card, status by invoice, refund.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use uuid::Uuid;

use super::{
    Options,
    book::{Bank, Charge, Outcome, Refusal, Wanted},
    post_link::PostLinks,
};
use crate::{
    kit::{Desk, Failure, Routes, Told},
    major,
};

#[derive(Clone)]
struct Counter {
    desk: Arc<Desk<Bank>>,
    options: Arc<Options>,
    tokens: Arc<Mutex<HashMap<String, Token>>>,
    post_links: PostLinks,
}

struct Token {
    ends: Instant,
    /// The one payment that it is good for, or none.
    payment: Option<(String, i64, String)>,
}

pub(super) fn routes(desk: Arc<Desk<Bank>>, options: Arc<Options>) -> Routes {
    let counter = Counter { desk, options, tokens: Arc::default(), post_links: PostLinks::new() };
    let effects = Router::new()
        .route("/api/payments/cards/auth", post(pay))
        .route("/api/operation/{id}/refund", post(refund));
    let rest = Router::new()
        .route("/epay2/oauth2/token", post(token))
        .route("/api/check-status/payment/transaction/{invoice}", get(status));
    Routes { effects: effects.with_state(counter.clone()), rest: rest.with_state(counter) }
}

fn failure(status: StatusCode, code: i64, message: impl ToString) -> Failure {
    Failure::new((status, Json(json!({"code": code, "message": message.to_string()}))))
}

fn refused(refusal: &Refusal) -> Failure {
    let (status, code) = match refusal {
        Refusal::NoCharge => (StatusCode::NOT_FOUND, 100),
        Refusal::NumberReused(_) | Refusal::RefundReused(_) | Refusal::TooMuch { .. } => {
            (StatusCode::BAD_REQUEST, 100)
        }
        Refusal::Io(error) => {
            tracing::error!(%error, "the bank's ledger cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, 500)
        }
    };
    failure(status, code, refusal)
}

async fn token(State(counter): State<Counter>, body: Bytes) -> Result<Response, Failure> {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let known = field("grant_type") == "client_credentials"
        && field("client_id") == counter.options.client_id
        && field("client_secret") == counter.options.client_secret
        && field("terminal") == counter.options.terminal;
    if !known {
        return Err(failure(StatusCode::UNAUTHORIZED, 401, "unknown client, secret or terminal"));
    }
    let payment = match (form.get("invoiceID"), form.get("amount")) {
        (None, None) => None,
        (Some(invoice), Some(amount)) if is_invoice(invoice) => {
            let Some(amount_minor) = major::minor(amount) else {
                return Err(failure(StatusCode::BAD_REQUEST, 100, "amount is not a sum"));
            };
            Some((invoice.clone(), amount_minor, field("currency").to_owned()))
        }
        _ => {
            return Err(failure(
                StatusCode::BAD_REQUEST,
                100,
                "invoiceID must be 6 to 15 digits, with an amount",
            ));
        }
    };
    let access_token = Uuid::new_v4().simple().to_string();
    let life = counter.options.token_life;
    let mut tokens = counter.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.retain(|_, token| token.ends > Instant::now());
    tokens.insert(access_token.clone(), Token { ends: Instant::now() + life, payment });
    Ok(Json(json!({
        "access_token": access_token,
        "expires_in": life.as_secs(),
        "refresh_token": "",
        "scope": field("scope"),
        "token_type": "Bearer",
    }))
    .into_response())
}

fn is_invoice(text: &str) -> bool {
    (6..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Counter {
    /// Looks at a token that is still good.
    fn with_token<T>(&self, headers: &HeaderMap, look: impl FnOnce(&Token) -> T) -> Result<T, Failure> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = bearer.and_then(|bearer| tokens.get(bearer.strip_prefix("Bearer ")?));
        match token.filter(|token| token.ends > Instant::now()) {
            Some(token) => Ok(look(token)),
            None => Err(failure(StatusCode::UNAUTHORIZED, 401, "the token is not valid or has expired")),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    amount: Number,
    currency: String,
    terminal_id: String,
    invoice_id: String,
    description: String,
    #[serde(default)]
    account_id: String,
    #[serde(default)]
    post_link: String,
    payment_type: String,
    card_id: CardId,
}

#[derive(Deserialize)]
struct CardId {
    id: String,
}

async fn pay(
    State(counter): State<Counter>,
    told: Told,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let allowed = counter.with_token(&headers, |token| token.payment.clone())?;
    let payment: Payment =
        serde_json::from_slice(&body).map_err(|error| failure(StatusCode::BAD_REQUEST, 100, error))?;
    let amount_minor = match major::minor(&payment.amount.to_string()) {
        Some(amount) if amount > 0 => amount,
        _ => return Err(failure(StatusCode::BAD_REQUEST, 470, "the amount is not a sum")),
    };
    if allowed != Some((payment.invoice_id.clone(), amount_minor, payment.currency.clone())) {
        return Err(failure(StatusCode::FORBIDDEN, 403, "the token is for another payment"));
    }
    if payment.terminal_id != counter.options.terminal || payment.payment_type != "cardId" {
        return Err(failure(StatusCode::BAD_REQUEST, 464, "unknown terminal or way to pay"));
    }
    let key = Some(payment.account_id).filter(|key| !key.is_empty());
    let wanted = Wanted {
        key: key.unwrap_or_else(|| payment.invoice_id.clone()),
        reference: payment.invoice_id,
        amount_minor,
        currency: payment.currency,
        token: payment.card_id.id,
        description: payment.description,
    };
    let outcome = counter.desk.ledger.page().charge(wanted, told.decline);
    match outcome {
        Ok(Outcome::Charged(charge)) => {
            counter.post_links.send(&payment.post_link, post_link(&charge), if told.twice { 2 } else { 1 });
            Ok(Json(json!({
                "id": charge.transaction_id,
                "accountId": charge.key,
                "amount": major::number(charge.amount_minor),
                "amountBonus": 0,
                "currency": charge.currency,
                "description": charge.description,
                "invoiceID": charge.reference,
                "cardMask": charge.card,
                "code": 0,
                "status": "CHARGE",
                "secure3D": null,
            }))
            .into_response())
        }
        Ok(Outcome::Declined { code, message, .. }) => {
            Err(failure(StatusCode::BAD_REQUEST, code.parse().unwrap_or(454), message))
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}

fn post_link(charge: &Charge) -> Value {
    json!({
        "id": charge.transaction_id,
        "accountId": charge.key,
        "invoiceId": charge.reference,
        "amount": major::number(charge.amount_minor),
        "currency": charge.currency,
        "cardMask": charge.card,
        "code": "ok",
        "reason": "success",
        "reasonCode": 0,
        "description": charge.description,
    })
}

async fn status(
    State(counter): State<Counter>,
    Path(invoice): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    counter.with_token(&headers, |_| ())?;
    let page = counter.desk.ledger.page();
    let bank = page.vendor();
    let (charge, status, code, message) = match bank.outcome(&invoice) {
        None => {
            let answer =
                json!({"resultCode": "102", "resultMessage": "INVOICE_NOT_FOUND", "transaction": null});
            return Ok(Json(answer).into_response());
        }
        Some(Outcome::Declined { charge, code, message }) => {
            (charge, "FAILED", code.as_str(), message.as_str())
        }
        Some(Outcome::Charged(charge)) if bank.refunded(&charge.transaction_id) == charge.amount_minor => {
            (charge, "REFUND", "0", "success")
        }
        Some(Outcome::Charged(charge)) => (charge, "CHARGE", "0", "success"),
    };
    let refunded = bank.refunded(&charge.transaction_id);
    let refunds: Vec<_> = bank
        .refunds(&charge.transaction_id)
        .iter()
        .map(|refund| {
            json!({"id": refund.refund_id, "externalID": refund.key,
                "amount": major::number(refund.amount_minor)})
        })
        .collect();
    Ok(Json(json!({
        "resultCode": if status == "FAILED" { "101" } else { "100" },
        "resultMessage": if status == "FAILED" { "REJECT" } else { "SUCCESS" },
        "transaction": {
            "id": charge.transaction_id,
            "invoiceID": charge.reference,
            "accountID": charge.key,
            "amount": major::number(charge.amount_minor - refunded),
            "orgAmount": major::number(charge.amount_minor),
            "payoutAmount": major::number(refunded),
            "amountBonus": 0,
            "currency": charge.currency,
            "terminalID": counter.options.terminal,
            "description": charge.description,
            "cardMask": charge.card,
            "statusName": status,
            "reasonCode": code,
            "reason": message,
            "refunds": refunds,
        },
    }))
    .into_response())
}

#[derive(Deserialize)]
struct Back {
    amount: Option<String>,
    #[serde(rename = "externalID", default)]
    external_id: String,
}

async fn refund(
    State(counter): State<Counter>,
    told: Told,
    Path(id): Path<String>,
    Query(back): Query<Back>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    counter.with_token(&headers, |_| ())?;
    if told.decline {
        return Err(failure(StatusCode::BAD_REQUEST, 487, "the refund is declined"));
    }
    let amount = match back.amount.as_deref().map(major::minor) {
        None => None,
        Some(Some(amount)) => Some(amount),
        Some(None) => return Err(failure(StatusCode::BAD_REQUEST, 470, "the amount is not a sum")),
    };
    let key = if back.external_id.is_empty() { Uuid::now_v7().to_string() } else { back.external_id };
    match counter.desk.ledger.page().refund(&id, key, amount) {
        Ok(refund) => {
            Ok(Json(json!({"code": 0, "message": "success", "id": refund.refund_id})).into_response())
        }
        Err(refusal) => Err(refused(&refusal)),
    }
}
