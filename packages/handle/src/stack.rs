//! The server stack, written once: what a request passes before a handler sees it.

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use tonic::service::Routes;

use crate::authenticate::{Gate, authenticate};
use crate::deadline::give_up_in_time;
use crate::exemplars::{OPEN_METRICS, open_metrics};
use crate::measure::{measure, prometheus};
use crate::process;

/// A service's gRPC methods behind the stack, its plain HTTP pages and its metrics beside it. The layer named last is
/// the first a request meets.
pub(crate) fn stack(service: &'static str, grpc: Routes, http: Router, gate: Gate) -> anyhow::Result<Router> {
    let metrics = prometheus()?;
    let guarded = grpc
        .into_axum_router()
        // Innermost, so that what is dropped is the handler's work alone.
        .layer(from_fn(give_up_in_time))
        // Knows who calls, so that the span can say it; counts what the deadline cut off, too.
        .layer(from_fn_with_state(service, measure))
        // Outermost: nothing is done for somebody who may not ask for it.
        .layer(from_fn_with_state(gate, authenticate));
    let page = move |headers: HeaderMap| async move {
        let page = metrics.render() + &process::page();
        let accepts = headers.get(ACCEPT).and_then(|accepts| accepts.to_str().ok()).unwrap_or_default();
        if accepts.contains("application/openmetrics-text") {
            ([(CONTENT_TYPE, OPEN_METRICS)], open_metrics(&page))
        } else {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page)
        }
    };
    Ok(guarded.merge(http).route("/metrics", get(page)))
}
