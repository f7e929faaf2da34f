//! A page for people: the ledger as it grows, and the faults to set. Three files in the binary, no build step.

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};

use super::Vendor;

/// The page runs its own script only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes<V: Vendor>() -> Router {
    Router::new()
        .route(
            "/",
            get(|| async {
                file(
                    "text/html; charset=utf-8",
                    include_str!("page/page.html").replace("{{vendor}}", V::NAME),
                )
            }),
        )
        .route(
            "/sandbox/page.css",
            get(|| async { file("text/css; charset=utf-8", include_str!("page/page.css").to_owned()) }),
        )
        .route(
            "/sandbox/page.js",
            get(|| async { file("text/javascript; charset=utf-8", include_str!("page/page.js").to_owned()) }),
        )
}

fn file(kind: &'static str, text: String) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 4] = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
