//! The API reference, as a page.

use artel_proto::annotations;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::routing::get;

/// The page brings all it needs with it, so nothing else may be loaded or asked.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// `/docs`.
pub fn router() -> Router {
    // Made once, shown until the process ends.
    let page: &'static str =
        Box::leak(artel_reference::page(&artel_reference::read(annotations::pool())).into_boxed_str());
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "public, max-age=60"),
    ];
    Router::new().route("/docs", get(move || async move { (headers, page) }))
}
