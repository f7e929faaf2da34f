//! ATOL Online's API, version 4.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, FixedOffset, Utc};
use serde::Deserialize;
use serde_json::{Number, Value, json};
use uuid::Uuid;

use super::{
    Options,
    receipts::{Operation, Printer, Slip, State as TaskState},
};
use crate::{
    kit::{Desk, Failure, Routes, Told},
    major,
};

const MOSCOW: i32 = 3 * 3600;

#[derive(Clone)]
struct Counter {
    desk: Arc<Desk<Printer>>,
    options: Arc<Options>,
    tokens: Arc<Mutex<HashSet<String>>>,
}

pub(super) fn routes(desk: Arc<Desk<Printer>>, options: Arc<Options>) -> Routes {
    let counter = Counter { desk, options, tokens: Arc::default() };
    let effects = Router::new().route("/possystem/v4/{group}/{operation}", post(register));
    let rest = Router::new()
        .route("/possystem/v4/getToken", post(token))
        .route("/possystem/v4/{group}/report/{uuid}", get(report));
    Routes { effects: effects.with_state(counter.clone()), rest: rest.with_state(counter) }
}

fn now() -> String {
    moment(Utc::now())
}

fn moment(time: DateTime<Utc>) -> String {
    let time = FixedOffset::east_opt(MOSCOW).map_or(time.fixed_offset(), |zone| time.with_timezone(&zone));
    time.format("%d.%m.%Y %H:%M:%S").to_string()
}

/// An error in the API's shape, about a receipt it has or none.
fn failure(status: StatusCode, code: u32, text: impl ToString, uuid: Option<&str>) -> Failure {
    Failure::new((
        status,
        Json(json!({
            "uuid": uuid,
            "status": "fail",
            "timestamp": now(),
            "error": {"error_id": Uuid::new_v4(), "code": code, "text": text.to_string(), "type": "system"},
        })),
    ))
}

#[derive(Deserialize)]
struct Login {
    login: String,
    pass: String,
}

async fn token(State(counter): State<Counter>, body: Bytes) -> Result<Response, Failure> {
    let login: Login =
        serde_json::from_slice(&body).map_err(|error| failure(StatusCode::BAD_REQUEST, 32, error, None))?;
    if login.login != counter.options.login || login.pass != counter.options.password {
        return Err(failure(StatusCode::UNAUTHORIZED, 12, "wrong login or password", None));
    }
    let token = Uuid::new_v4().simple().to_string();
    counter.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone());
    Ok(Json(json!({"error": null, "token": token, "timestamp": now()})).into_response())
}

impl Counter {
    fn admit(&self, headers: &HeaderMap, group: &str) -> Result<(), Failure> {
        let Some(token) = headers.get("token").and_then(|value| value.to_str().ok()) else {
            return Err(failure(StatusCode::UNAUTHORIZED, 10, "the header Token is missing", None));
        };
        if !self.tokens.lock().unwrap_or_else(PoisonError::into_inner).contains(token) {
            return Err(failure(StatusCode::UNAUTHORIZED, 11, "the token is not valid or has expired", None));
        }
        if group != self.options.group {
            return Err(failure(StatusCode::FORBIDDEN, 20, "the group is another's", None));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Document {
    external_id: String,
    receipt: Receipt,
}

#[derive(Deserialize)]
struct Receipt {
    client: Client,
    company: Company,
    items: Vec<Item>,
    payments: Vec<Payment>,
    total: Number,
}

#[derive(Deserialize)]
struct Client {
    email: Option<String>,
    phone: Option<String>,
}

#[derive(Deserialize)]
struct Company {
    inn: String,
    payment_address: String,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    price: Number,
    quantity: Number,
    sum: Number,
}

#[derive(Deserialize)]
struct Payment {
    #[serde(rename = "type")]
    kind: u8,
    sum: Number,
}

/// The receipt as it will be printed, or what is wrong with it.
fn slip(document: &Document, operation: Operation) -> Result<Slip, String> {
    let Receipt { client, company, items, payments, total } = &document.receipt;
    let sum = |number: &Number, field: &str| {
        major::minor(&number.to_string()).ok_or_else(|| format!("{field} is not a sum: {number}"))
    };
    let named = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if !named(&client.email) && !named(&client.phone) {
        return Err("receipt.client must have an email or a phone".to_owned());
    }
    if company.inn.is_empty() || company.payment_address.is_empty() {
        return Err("receipt.company must have an inn and a payment_address".to_owned());
    }
    if document.external_id.is_empty() || document.external_id.len() > 128 {
        return Err("external_id must have 1 to 128 characters".to_owned());
    }
    let mut sold = 0;
    for item in items {
        let (price, line) = (sum(&item.price, "items.price")?, sum(&item.sum, "items.sum")?);
        let quantity = item.quantity.as_f64().unwrap_or_default();
        if item.name.is_empty() || item.name.chars().count() > 128 {
            return Err("items.name must have 1 to 128 characters".to_owned());
        }
        #[allow(clippy::cast_precision_loss)]
        if (price as f64 * quantity - line as f64).abs() > 0.5 {
            return Err(format!("items.sum is not price times quantity: {}", item.name));
        }
        sold += line;
    }
    let (mut electronic_minor, mut prepaid_minor) = (0, 0);
    for payment in payments {
        let paid = sum(&payment.sum, "payments.sum")?;
        match payment.kind {
            1 => electronic_minor += paid,
            2 => prepaid_minor += paid,
            other => return Err(format!("payments.type {other} is not taken here")),
        }
    }
    let total_minor = sum(total, "total")?;
    if items.is_empty() || sold != total_minor || electronic_minor + prepaid_minor != total_minor {
        return Err(format!(
            "items make {sold}, payments {electronic_minor} + {prepaid_minor}, total {total_minor}"
        ));
    }
    Ok(Slip {
        external_id: document.external_id.clone(),
        uuid: String::new(),
        operation,
        total_minor,
        electronic_minor,
        prepaid_minor,
        items: items.len(),
    })
}

async fn register(
    State(counter): State<Counter>,
    told: Told,
    Path((group, operation)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let invalid = |text: String| failure(StatusCode::BAD_REQUEST, 32, text, None);
    counter.admit(&headers, &group)?;
    let operation = match operation.as_str() {
        "sell" => Operation::Sell,
        "sell_refund" => Operation::SellRefund,
        _ => return Err(failure(StatusCode::BAD_REQUEST, 31, "the operation is not supported", None)),
    };
    let document: Document = serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
    let slip = slip(&document, operation).map_err(invalid)?;
    if told.decline {
        return Err(invalid("the receipt is declined".to_owned()));
    }
    match counter.desk.ledger.page().register(slip, told.broken) {
        Ok(Ok(uuid)) => {
            let taken = json!({"uuid": uuid, "status": "wait", "error": null, "timestamp": now()});
            Ok(Json(taken).into_response())
        }
        Ok(Err(known)) => {
            let text = format!("there is a receipt with external_id {}", document.external_id);
            Err(failure(StatusCode::BAD_REQUEST, 33, text, Some(&known)))
        }
        Err(error) => {
            tracing::error!(%error, "the printer's ledger cannot be written");
            Err(failure(StatusCode::INTERNAL_SERVER_ERROR, 1, "try again", None))
        }
    }
}

async fn report(
    State(counter): State<Counter>,
    Path((group, uuid)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    counter.admit(&headers, &group)?;
    let page = counter.desk.ledger.page();
    let Some(task) = page.vendor().task(&uuid) else {
        return Err(failure(StatusCode::BAD_REQUEST, 34, "there is no such receipt", Some(&uuid)));
    };
    let total = major::number(task.slip.total_minor);
    let answer = match task.state {
        TaskState::Waiting => json!({
            "uuid": uuid, "status": "wait", "payload": null, "timestamp": now(),
            "error": {"error_id": Uuid::new_v4(), "code": 34, "text": "not processed yet", "type": "system"},
        }),
        TaskState::Failed => json!({
            "uuid": uuid, "status": "fail", "payload": null, "timestamp": now(),
            "error": {"error_id": Uuid::new_v4(), "code": -3897, "text": "the register's memory is full",
                "type": "driver"},
        }),
        TaskState::Printed { fiscal_number, time } => json!({
            "uuid": uuid, "status": "done", "error": null, "timestamp": now(),
            "payload": payload(total, fiscal_number, time),
        }),
    };
    Ok(Json(answer).into_response())
}

fn payload(total: Number, fiscal_number: u64, time: DateTime<Utc>) -> Value {
    json!({
        "total": total,
        "fns_site": "www.nalog.gov.ru",
        "fn_number": "9999078900000001",
        "shift_number": 1,
        "receipt_datetime": moment(time),
        "fiscal_receipt_number": fiscal_number,
        "fiscal_document_number": fiscal_number,
        "fiscal_document_attribute": 2_000_000_000 + fiscal_number,
        "ecr_registration_number": "0000000000000001",
    })
}
