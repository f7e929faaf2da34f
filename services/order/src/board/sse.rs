//! `/api/display/events`: the board as server-sent events, for everybody; it holds numbers and nobody's name.

use std::sync::Arc;

use artel_util::Error;
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tonic::Code;

use super::hub::Hub;
use super::position;

/// What browsers send when they come back.
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Seconds after which who was refused may come again.
const LATER: HeaderValue = HeaderValue::from_static("5");

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    position: String,
}

/// The page of this board.
pub(crate) fn router(hub: Arc<Hub>) -> Router {
    Router::new().route("/api/display/events", get(events)).with_state(hub)
}

async fn events(State(hub): State<Arc<Hub>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    // A browser that comes back asks for the same page again, and says in the header where it was.
    let last = headers.get(LAST_EVENT).map(|last| String::from_utf8_lossy(last.as_bytes()).into_owned());
    watch(hub, &last.unwrap_or(asked.position)).await.unwrap_or_else(|error| refused(&error))
}

async fn watch(hub: Arc<Hub>, after: &str) -> Result<Response, Error> {
    let position = position(after)?;
    let seat = hub.seat().ok_or_else(|| {
        let text = "This copy serves as many screens as it takes. Try again in a moment.";
        Error::new(Code::ResourceExhausted, "SCREENS_EXHAUSTED", text)
    })?;
    let screen = hub.screen(position).await?;
    let mut answer = Response::new(Body::from_stream(screen.events(seat)));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    Ok(answer)
}

/// As a `google.rpc.Status` in JSON like everywhere.
fn refused(error: &Error) -> Response {
    let status = match error.code() {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": error.reason(), "domain": "artel", "metadata": {},
    });
    let mut details = vec![info];
    if !error.fields().is_empty() {
        let fields = error.fields().iter();
        let fields: Vec<_> =
            fields.map(|wrong| json!({"field": wrong.field, "description": wrong.description})).collect();
        details
            .push(json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields}));
    }
    let body = json!({"code": error.code() as i32, "message": error.message(), "details": details});
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, LATER);
    }
    answer
}
