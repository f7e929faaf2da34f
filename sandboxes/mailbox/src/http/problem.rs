//! Errors as the rest of Artel answers them in JSON: `google.rpc.Status`.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::faults::BadField;

#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    /// google.rpc.Code
    code: u8,
    message: String,
    details: Vec<Value>,
}

impl Problem {
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: 3, message: message.into(), details: vec![] }
    }

    pub fn bad_field(field: &str, description: impl Into<String>) -> Self {
        Self::bad_fields(vec![BadField { field: field.into(), description: description.into() }])
    }

    pub fn bad_fields(fields: Vec<BadField>) -> Self {
        let texts: Vec<_> = fields.iter().map(|bad| format!("{} {}", bad.field, bad.description)).collect();
        let violations: Vec<_> =
            fields.iter().map(|bad| json!({"field": bad.field, "description": bad.description})).collect();
        let detail =
            json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations});
        Self { details: vec![detail], ..Self::bad_request(texts.join("; ")) }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, code: 5, message: message.into(), details: vec![] }
    }

    pub fn wrong_method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: 12,
            message: "this path has another method; the Allow header names it".into(),
            details: vec![],
        }
    }

    /// Logs the cause, which is the operator's business, and says only that it failed.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "mailbox request failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: 13,
            message: "the mailbox could not read or write its ledger; see its log".into(),
            details: vec![],
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({"code": self.code, "message": self.message, "details": self.details});
        (self.status, Json(body)).into_response()
    }
}
