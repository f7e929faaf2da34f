//! What a sender is told.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::door::Refusal;

/// Seconds after which a sender may come again.
const LATER: HeaderValue = HeaderValue::from_static("5");

/// It is kept.
pub(crate) fn taken() -> Response {
    said(StatusCode::OK, "{}".to_owned())
}

/// It is not, as a `google.rpc.Status` in JSON like everywhere.
pub(crate) fn refused(refusal: Refusal) -> Response {
    let Refusal { status, error } = refusal;
    let ours = status.is_server_error();
    if ours {
        tracing::warn!(%error, cause = std::error::Error::source(&error), "webhook not kept");
    }
    // Nothing internal goes out; whatever it was, sending it again is what helps.
    let (code, reason, message) = if ours {
        (14, "SERVICE_UNAVAILABLE", "It could not be kept. Send it again.")
    } else {
        (error.code() as i32, error.reason(), error.message())
    };
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "artel", "metadata": {},
    });
    let mut answer = said(status, json!({"code": code, "message": message, "details": [info]}).to_string());
    if ours {
        answer.headers_mut().insert(RETRY_AFTER, LATER);
    }
    answer
}

fn said(status: StatusCode, text: String) -> Response {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
