//! ATOL Online, version 4: a receipt is registered by our id, printed in a while, and asked about by the printer's id.

mod client;
mod wire;

use async_trait::async_trait;
use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};

use self::client::Client;
use super::{FiscalPrinter, Report, Settings};
use crate::outside::{Answer, Away};
use artel_proto::billing::{Receipt, ReceiptKind};

/// There is a receipt with that id already.
const EXISTS: i64 = 33;
/// Not printed yet, or not known.
const NOT_YET: i64 = 34;
/// Codes that say that the receipt itself is wrong.
const INVALID: [i64; 2] = [31, 32];
const TIME: &str = "%d.%m.%Y %H:%M:%S";

/// ATOL Online.
pub(crate) struct Atol {
    client: Client,
    clock: FixedOffset,
    settings: Settings,
}

impl Atol {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        let clock = settings.clock()?;
        Ok(Self { client: Client::new(settings)?, clock, settings: settings.clone() })
    }

    /// A time as it stands on receipts, in the printer's clock.
    fn time(&self, text: &str) -> Option<DateTime<Utc>> {
        let time = NaiveDateTime::parse_from_str(text, TIME).ok()?.and_local_timezone(self.clock);
        time.single().map(|time| time.to_utc())
    }
}

#[async_trait]
impl FiscalPrinter for Atol {
    async fn register(&self, receipt: &Receipt) -> Answer<String> {
        let operation = match receipt.kind() {
            ReceiptKind::Sell => "sell",
            ReceiptKind::SellRefund => "sell_refund",
            ReceiptKind::Unspecified => {
                return Answer::refused("receipt_invalid", "what is the receipt for?");
            }
        };
        let written = artel_util::time::to_chrono(&receipt.create_time.unwrap_or_default())
            .unwrap_or_else(Utc::now)
            .with_timezone(&self.clock)
            .format(TIME)
            .to_string();
        let Some(document) = wire::Document::of(receipt, written, &self.settings) else {
            return Answer::refused("receipt_invalid", "the receipt's sums do not add up, or are too great");
        };
        let reply = match self.client.register(operation, &document).await {
            Ok(reply) => reply,
            Err(failed) => return failed.into(),
        };
        let taken: wire::Taken = match reply.read() {
            Ok(taken) => taken,
            // A door in front of it says no.
            Err(_) if reply.status.is_client_error() => {
                return Answer::NotDone(format!("answered {}", reply.status));
            }
            Err(failed) => return failed.into(),
        };
        match (taken.error, taken.uuid.filter(|uuid| !uuid.is_empty())) {
            (None, Some(uuid)) => Answer::Done(uuid),
            (Some(error), Some(uuid)) if error.code == EXISTS => Answer::Done(uuid),
            (Some(error), _) if INVALID.contains(&error.code) => {
                Answer::refused("receipt_invalid", error.text)
            }
            (Some(error), _) if reply.status.is_client_error() => {
                Answer::NotDone(format!("answered {}: {}", error.code, error.text))
            }
            (error, _) => Answer::Unknown(error.map_or_else(
                || "answered without the receipt's uuid".to_owned(),
                |error| format!("answered {}: {}", error.code, error.text),
            )),
        }
    }

    async fn report(&self, task_id: &str) -> Result<Report, Away> {
        let reply = self.client.report(task_id).await?;
        let state: wire::State = reply.read()?;
        let said = |error: Option<wire::Problem>| {
            error.map_or_else(
                || "no reason given".to_owned(),
                |error| format!("{}: {}", error.code, error.text),
            )
        };
        match (state.status.as_str(), state.payload, state.error) {
            ("done", Some(printed), _) => Ok(Report::Printed {
                fiscal_number: printed.fiscal_document_number.to_string(),
                time: self.time(&printed.receipt_datetime),
            }),
            ("wait", ..) => Ok(Report::Waiting),
            // It does not know it yet, or not any more; registered again, it is the same receipt.
            (_, _, Some(error)) if error.code == NOT_YET => Ok(Report::Waiting),
            ("fail", _, error) if reply.status.is_success() => Ok(Report::Failed(said(error))),
            (_, _, error) => Err(Away(format!("answered {}: {}", reply.status, said(error)))),
        }
    }
}
