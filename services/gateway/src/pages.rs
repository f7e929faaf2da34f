//! The API reference: a page for people, documents for tools.

use anyhow::Context as _;
use artel_proto::annotations;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderMap, HeaderValue};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Where the documents are, for Envoy's routes.
pub const DOCUMENTS: [&str; 3] = ["/openapi.json", "/openapi.yaml", "/asyncapi.json"];

/// Who listens to what only the services together know, so this one is written when they change and not while they
/// run.
const EVENTS: &str = include_str!("../../../docs/asyncapi.json");

/// `/docs`, and the documents.
///
/// # Errors
/// Where a document cannot be written as text, or the page's policy as a header.
pub fn router() -> anyhow::Result<Router> {
    let services = artel_reference::read(annotations::pool());
    let page = artel_reference::page(&services);
    let document = artel_reference::openapi(&services);
    let yaml = serde_norway::to_string(&document).context("the OpenAPI document as YAML")?;

    let mut html = headers("text/html; charset=utf-8");
    let policy = policy(page.style, page.script);
    html.insert(CONTENT_SECURITY_POLICY, HeaderValue::try_from(policy).context("the page's policy")?);
    html.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let texts = [artel_reference::pretty(&document), yaml, EVENTS.to_owned()];
    let types = ["application/json", "application/yaml", "application/json"];
    let mut router = shown(Router::new(), "/docs", html, page.html);
    for ((path, kind), text) in DOCUMENTS.into_iter().zip(types).zip(texts) {
        router = shown(router, path, headers(kind), text);
    }
    Ok(router)
}

/// Made once, shown until the process ends.
fn shown(router: Router, path: &str, headers: HeaderMap, text: String) -> Router {
    let text: &'static str = Box::leak(text.into_boxed_str());
    router.route(path, get(move || async move { (headers, text) }))
}

fn headers(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
    headers
}

/// The page brings all it needs with it and calls nothing but this API: nothing else may be loaded, run or asked.
fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)));
    format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
        hash(style),
        hash(script)
    )
}
