//! The printer of fiscal receipts.

mod atol;
mod settings;
#[cfg(test)]
mod tests;

use artel_proto::billing::Receipt;
use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub(crate) use self::atol::Atol;
pub(crate) use self::settings::Settings;
use crate::outside::{Answer, Away};

/// Prints receipts. It takes one and prints it later: registering says only that it has it.
#[async_trait]
pub(crate) trait FiscalPrinter: Send + Sync + 'static {
    /// Hands a receipt over and gives the printer's id of the task. A receipt that the printer has (by the receipt's id) is
    /// the same task again.
    async fn register(&self, receipt: &Receipt) -> Answer<String>;

    /// How far a task is.
    async fn report(&self, task_id: &str) -> Result<Report, Away>;
}

/// How far a receipt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Not printed yet.
    Waiting,
    /// On paper.
    Printed {
        /// The number of the fiscal document.
        fiscal_number: String,
        /// When, by the printer's clock.
        time: Option<DateTime<Utc>>,
    },
    /// It will not be printed: why.
    Failed(String),
}
