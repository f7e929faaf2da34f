//! An acquiring bank, behind two APIs over one book: Halyk Epay's (`/epay2`, `/api`) and a plain one (`/transactions`).
//!
//! Cards are tokens; some always misbehave: `tok_declined…`, `tok_insufficient…`, `tok_expired…`, `tok_blocked…`. The last
//! four characters of a token are what is shown of its card.

mod book;
mod halyk;
mod plain;
mod post_link;

use std::{sync::Arc, time::Duration};

pub use self::book::{Bank, Effect};
use crate::{
    Error,
    kit::{self, At, Desk, Routes, Running},
};

/// Where the bank listens and whom it knows.
#[derive(Debug, Clone)]
pub struct Options {
    pub at: At,
    /// The merchant, at Halyk Epay.
    pub client_id: String,
    pub client_secret: String,
    pub terminal: String,
    /// The merchant, at the plain API.
    pub api_key: String,
    /// How long an access token lasts.
    pub token_life: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            at: At::default(),
            client_id: "artel".to_owned(),
            client_secret: "sandbox-client-secret".to_owned(),
            terminal: "67e34d63-102f-4bd1-898e-370781d0074d".to_owned(),
            api_key: "sandbox-api-key".to_owned(),
            token_life: Duration::from_secs(7200),
        }
    }
}

/// Serves until the handle is dropped.
///
/// # Errors
/// The port is taken, or the ledger cannot be read.
pub async fn start(options: Options) -> Result<Running<Bank>, Error> {
    let desk = Desk::open(&options.at)?;
    let at = options.at.clone();
    let options = Arc::new(options);
    let halyk = halyk::routes(desk.clone(), options.clone());
    let plain = plain::routes(desk.clone(), options);
    let routes = Routes { effects: halyk.effects.merge(plain.effects), rest: halyk.rest.merge(plain.rest) };
    kit::start(&at, desk, routes).await
}
