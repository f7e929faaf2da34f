//! A fiscal printer, rented: ATOL Online, version 4. It takes a receipt and prints it in a while; what has been printed of an
//! `external_id` is never printed again.

mod api;
mod receipts;

use std::{sync::Arc, time::Duration};

pub use self::receipts::{Effect, Operation, Printer, Slip};
use crate::{
    Error,
    kit::{self, At, Desk, Running},
};

/// Where the printer listens and whom it knows.
#[derive(Debug, Clone)]
pub struct Options {
    pub at: At,
    pub login: String,
    pub password: String,
    /// The group of registers that the merchant rents.
    pub group: String,
    /// How long one takes to print.
    pub prints_in: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            at: At::default(),
            login: "artel".to_owned(),
            password: "sandbox-password".to_owned(),
            group: "artel_1".to_owned(),
            prints_in: Duration::from_millis(100),
        }
    }
}

/// Serves until the handle is dropped.
///
/// # Errors
/// The port is taken, or the ledger cannot be read.
pub async fn start(options: Options) -> Result<Running<Printer>, Error> {
    let desk = Desk::open(&options.at)?;
    let at = options.at.clone();
    let prints_in = options.prints_in;
    let routes = api::routes(desk.clone(), Arc::new(options));
    Ok(kit::start(&at, desk.clone(), routes).await?.with(receipts::print(desk, prints_in)))
}
