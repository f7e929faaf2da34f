//! The door for readers: the JSON API and the page.

mod events;
mod messages;
mod page;
mod problem;

use std::{io, sync::Arc, sync::atomic::Ordering};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::problem::Problem;
use crate::{Faults, smtp::Desk};

#[derive(Clone)]
struct Reader {
    desk: Arc<Desk>,
    stop: CancellationToken,
}

pub async fn serve(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) -> io::Result<()> {
    let routes = routes(Reader { desk, stop: stop.clone() });
    axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn routes(reader: Reader) -> Router {
    Router::new()
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/healthz", get(health))
        .route("/api/messages", get(messages::list).delete(messages::clear))
        .route("/api/messages/{id}", get(messages::show))
        .route("/api/messages/{id}/raw", get(messages::raw))
        .route("/api/messages/{id}/html", get(messages::html))
        .route("/api/messages/{id}/attachments/{n}", get(messages::attachment))
        .route("/api/stats", get(stats))
        .route("/api/faults", get(faults).put(set_faults))
        .route("/api/events", get(events::stream))
        .fallback(|| async { Problem::not_found("there is no such page; the API is under /api") })
        .method_not_allowed_fallback(|| async { Problem::wrong_method() })
        .with_state(reader)
}

async fn health(State(reader): State<Reader>) -> impl IntoResponse {
    match reader.desk.clerk.is_alive() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written\n"),
    }
}

async fn stats(State(reader): State<Reader>) -> Json<Value> {
    let refused = reader.desk.refused.load(Ordering::Relaxed);
    let store = reader.desk.clerk.store();
    let counts = store.counts();
    Json(json!({
        "accepted": counts.accepted,
        "suppressed": counts.suppressed,
        "refused": refused,
        "messages": store.len(),
    }))
}

async fn faults(State(reader): State<Reader>) -> Json<Faults> {
    Json(reader.desk.faults.get())
}

async fn set_faults(State(reader): State<Reader>, body: Bytes) -> Result<impl IntoResponse, Problem> {
    let fields = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body must be a JSON object: {error}")))?;
    let faults = Faults::from_json(&fields).map_err(Problem::bad_fields)?;
    reader.desk.faults.set(faults);
    tracing::info!(?faults, "faults set");
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(faults)))
}
