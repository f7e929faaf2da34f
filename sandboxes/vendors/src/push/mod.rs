//! Push messages to phones: the shape of Firebase Cloud Messaging, HTTP v1. It knows no idempotency: what is sent twice comes
//! twice, and the ledger shows it.
//!
//! Registration tokens that begin with `unregistered` are of apps that are gone.

mod access;
mod api;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    Error,
    kit::{self, At, Desk, Entry, Running, Vendor},
};

/// A service account that the sandbox knows, as the file that Google gives: for this sandbox only.
pub const SERVICE_ACCOUNT: &str = include_str!("service-account.json");

/// Where the service listens and whom it knows.
#[derive(Debug, Clone)]
pub struct Options {
    pub at: At,
    pub project: String,
    /// How long an access token lasts.
    pub token_life: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { at: At::default(), project: "artel-sandbox".to_owned(), token_life: Duration::from_secs(3600) }
    }
}

/// A message came to a phone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    Delivered {
        /// The service's own id of it: `projects/…/messages/…`.
        name: String,
        /// The phone's registration token.
        token: String,
        title: String,
        body: String,
        data: serde_json::Map<String, serde_json::Value>,
    },
}

/// The service remembers nothing of what it sent.
#[derive(Debug, Default)]
pub struct Push;

impl Vendor for Push {
    const NAME: &'static str = "push";
    type Effect = Effect;

    fn apply(&mut self, _: &Entry<Effect>) {}
}

/// Serves until the handle is dropped.
///
/// # Errors
/// The port is taken, or the ledger cannot be read.
pub async fn start(options: Options) -> Result<Running<Push>, Error> {
    let desk = Desk::open(&options.at)?;
    let at = options.at.clone();
    let routes = api::routes(desk.clone(), Arc::new(options));
    kit::start(&at, desk, routes).await
}
