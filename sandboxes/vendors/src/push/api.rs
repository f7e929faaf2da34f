//! FCM's API, HTTP v1, and the token endpoint of Google's accounts.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Effect, Options, Push, access::Access};
use crate::kit::{Desk, Failure, Routes, Told};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const GONE: &str = "unregistered";

#[derive(Clone)]
struct Counter {
    desk: Arc<Desk<Push>>,
    options: Arc<Options>,
    access: Arc<Access>,
}

pub(super) fn routes(desk: Arc<Desk<Push>>, options: Arc<Options>) -> Routes {
    let counter = Counter { desk, options, access: Arc::default() };
    let effects = Router::new().route("/v1/projects/{project}/messages:send", post(send));
    let rest = Router::new().route("/token", post(token));
    Routes { effects: effects.with_state(counter.clone()), rest: rest.with_state(counter) }
}

fn failure(status: StatusCode, name: &str, message: impl ToString, fcm: Option<&str>) -> Failure {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let details: Vec<_> = fcm.iter().map(|code| json!({"@type": kind, "errorCode": code})).collect();
    let error =
        json!({"code": status.as_u16(), "message": message.to_string(), "status": name, "details": details});
    Failure::new((status, Json(json!({"error": error}))))
}

async fn token(State(counter): State<Counter>, body: Bytes) -> Result<Response, Failure> {
    let form: std::collections::HashMap<_, _> = form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let refused = |error: &str, text: &str| {
        Failure::new((StatusCode::BAD_REQUEST, Json(json!({"error": error, "error_description": text}))))
    };
    if field("grant_type") != GRANT {
        return Err(refused("unsupported_grant_type", "the grant type is not jwt-bearer"));
    }
    let life = counter.options.token_life;
    match counter.access.grant(field("assertion"), life) {
        Ok(token) => {
            let grant = json!({"access_token": token, "expires_in": life.as_secs(), "token_type": "Bearer"});
            Ok(Json(grant).into_response())
        }
        Err(text) => Err(refused("invalid_grant", &text)),
    }
}

#[derive(Deserialize)]
struct Request {
    message: Message,
    #[serde(default)]
    validate_only: bool,
}

#[derive(Deserialize)]
struct Message {
    token: String,
    notification: Option<Notification>,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Notification {
    title: String,
    body: String,
}

async fn send(
    State(counter): State<Counter>,
    told: Told,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Failure> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
    if !token.is_some_and(|token| counter.access.admits(token)) {
        let text = "the access token is not valid or has expired";
        return Err(failure(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", text, None));
    }
    if project != counter.options.project {
        let text = "the account may not send for this project";
        return Err(failure(StatusCode::FORBIDDEN, "PERMISSION_DENIED", text, Some("SENDER_ID_MISMATCH")));
    }
    let invalid =
        |text: String| failure(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", text, Some("INVALID_ARGUMENT"));
    let request: Request = serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
    let Message { token, notification, data } = request.message;
    if data.values().any(|value| !value.is_string()) {
        return Err(invalid("message.data must be texts".to_owned()));
    }
    if token.is_empty() || told.decline {
        return Err(invalid("The registration token is not a valid FCM registration token".to_owned()));
    }
    if token.starts_with(GONE) {
        let text = "Requested entity was not found.";
        return Err(failure(StatusCode::NOT_FOUND, "NOT_FOUND", text, Some("UNREGISTERED")));
    }
    let name = format!("projects/{project}/messages/{}", Uuid::now_v7());
    let Notification { title, body } = notification.unwrap_or_default();
    let effect = Effect::Delivered { name: name.clone(), token, title, body, data };
    let times = if request.validate_only { 0 } else { 1 + usize::from(told.twice) };
    for _ in 0..times {
        if let Err(error) = counter.desk.ledger.page().record(effect.clone()) {
            tracing::error!(%error, "the ledger cannot be written");
            return Err(failure(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "try again", None));
        }
    }
    Ok(Json(json!({"name": name})).into_response())
}
