//! The API reference, written from the contracts: a page for browsers and pages for `docs/`. What the contracts say
//! is said nowhere else, so it cannot be wrong in two places.

mod asyncapi;
mod comments;
mod errors;
mod example;
mod fields;
mod html;
mod markdown;
mod model;
mod openapi;
mod schema;

pub use asyncapi::{Heard, asyncapi};
pub use errors::{COMMON, Common};
pub use html::page;
pub use markdown::{index, service};
pub use openapi::openapi;
/// A document as it stands in `docs/` and is served.
#[must_use]
pub fn pretty(document: &serde_json::Value) -> String {
    format!("{document:#}\n")
}

pub use model::{Access, Binding, Field, Method, Place, Refusal, Service, read};
