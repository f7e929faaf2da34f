//! The side for tests and people: `/sandbox/ledger`, `/sandbox/faults`.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BadField, Desk, Faults, Vendor};

pub(crate) fn routes<V: Vendor>(desk: Arc<Desk<V>>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/sandbox/ledger", get(ledger::<V>).delete(clear::<V>))
        .route("/sandbox/faults", get(faults::<V>).put(set_faults::<V>))
        .with_state(desk)
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    after: u64,
}

async fn ledger<V: Vendor>(State(desk): State<Arc<Desk<V>>>, Query(from): Query<From>) -> Json<Value> {
    let page = desk.ledger.page();
    Json(json!({"vendor": V::NAME, "entries": page.after(from.after)}))
}

async fn clear<V: Vendor>(State(desk): State<Arc<Desk<V>>>) -> Response {
    match desk.ledger.page().clear() {
        Ok(()) => Json(json!({})).into_response(),
        Err(error) => {
            tracing::error!(vendor = V::NAME, %error, "the ledger cannot be cleared");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn faults<V: Vendor>(State(desk): State<Arc<Desk<V>>>) -> Json<Faults> {
    Json(desk.faults.get())
}

async fn set_faults<V: Vendor>(State(desk): State<Arc<Desk<V>>>, body: Bytes) -> Response {
    let read = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Object(fields)) => Faults::from_json(&fields),
        _ => Err(vec![BadField {
            field: String::new(),
            description: "the body must be a JSON object".to_owned(),
        }]),
    };
    match read {
        Ok(faults) => {
            desk.faults.set(faults.clone());
            Json(faults).into_response()
        }
        Err(bad) => {
            let violations: Vec<_> =
                bad.iter().map(|bad| json!({"field": bad.field, "description": bad.description})).collect();
            let texts: Vec<_> = bad
                .iter()
                .map(|bad| format!("{} {}", bad.field, bad.description).trim().to_owned())
                .collect();
            let detail =
                json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations});
            let body = json!({"code": 3, "message": texts.join("; "), "details": [detail]});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    }
}
