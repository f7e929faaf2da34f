//! The API reference, written from the contracts: a page for browsers and pages for `docs/`. What the contracts say
//! is said nowhere else, so it cannot be wrong in two places.

mod comments;
mod errors;
mod example;
mod fields;
mod html;
mod markdown;
mod model;

pub use html::page;
pub use markdown::{index, service};
pub use model::{Access, Binding, Field, Method, Place, Refusal, Service, read};
