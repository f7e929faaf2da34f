//! A provider of SMS: SMSC's HTTP API, answers as JSON. A message with an id that it has for the same number is the same
//! message, and goes out once.
//!
//! Numbers that end with `0000000` are never reached.

mod api;
mod messages;

use std::sync::Arc;

pub use self::messages::{Effect, Sms};
use crate::{
    Error,
    kit::{self, At, Desk, Running},
};

/// Where the provider listens and whom it knows.
#[derive(Debug, Clone)]
pub struct Options {
    pub at: At,
    pub login: String,
    pub password: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { at: At::default(), login: "artel".to_owned(), password: "sandbox-password".to_owned() }
    }
}

/// Serves until the handle is dropped.
///
/// # Errors
/// The port is taken, or the ledger cannot be read.
pub async fn start(options: Options) -> Result<Running<Sms>, Error> {
    let desk = Desk::open(&options.at)?;
    let at = options.at.clone();
    let routes = api::routes(desk.clone(), Arc::new(options));
    kit::start(&at, desk, routes).await
}
