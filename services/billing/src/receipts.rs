//! Printing receipts: take the row for a moment, talk to the printer, write down what it said. A receipt has one id all its
//! life, and the printer prints what it knows once, so that an answer that was lost does no harm.

use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_handle::{Delivery, Listener};
use artel_proto::billing::{Payment, Receipt, ReceiptQueued, ReceiptStatus};
use artel_proto::identity::User;
use artel_proto::persist::Operator;
use artel_queue::Failure;
use artel_repo::{Commit, Direction, Filter, Measure, Query, Repo};
use artel_util::time::{after, from_chrono};
use artel_util::{Error, now};
use async_trait::async_trait;
use chrono::TimeDelta;
use futures::StreamExt as _;

use crate::outside::Answer;
use crate::printer::{FiscalPrinter, Report};

/// For how long whoever talks to the printer has the receipt alone; more than any call to it takes.
const LEASE: TimeDelta = TimeDelta::seconds(90);
/// Between attempts: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Receipts that one sweep prints side by side, and takes on.
const SIDE_BY_SIDE: usize = 8;
const AT_ONCE: i32 = 200;

/// Prints receipts, each by one at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Receipts {
    repo: Repo,
    printer: Arc<dyn FiscalPrinter>,
}

#[async_trait]
impl Listener<ReceiptQueued> for Receipts {
    /// Tries it at once. What the printer cannot take now is looked after by the sweep.
    async fn hear(&self, delivery: &Delivery, event: ReceiptQueued) -> Result<(), Failure> {
        Ok(self.print(&delivery.call, &event.receipt_id).await?)
    }
}

impl Receipts {
    pub fn new(repo: Repo, printer: Arc<dyn FiscalPrinter>) -> Self {
        Self { repo, printer }
    }

    /// Brings one receipt a step further, unless it is at its end, it is not its time, or somebody else is at it.
    pub async fn print(&self, call: &Call, id: &str) -> Result<(), Error> {
        let Some(mut receipt) = self.repo.get::<Receipt>(call, id).await? else { return Ok(()) };
        if !is_due(&receipt) {
            return Ok(());
        }
        if receipt.contact.is_empty() {
            receipt.contact = self.contact(call, &receipt.payment_id).await?;
        }
        receipt.attempts = receipt.attempts.saturating_add(1);
        receipt.next_time = Some(after(LEASE));
        if !self.write(call, &mut receipt, &["contact", "attempts", "next_time"]).await? {
            return Ok(());
        }
        if receipt.status() == ReceiptStatus::Waiting {
            self.hand_over(&mut receipt).await;
        } else {
            self.ask(&mut receipt).await;
        }
        let status = receipt.status().as_str_name();
        tracing::debug!(receipt = receipt.id, status, error = receipt.error, "a receipt was looked after");
        metrics::counter!("artel_billing_receipts_total", "status" => status).increment(1);
        let fields = ["status", "task_id", "fiscal_number", "print_time", "next_time", "error"];
        self.write(call, &mut receipt, &fields).await?;
        Ok(())
    }

    /// Looks after what waits, in whatever workspace, and says how much that is.
    pub async fn sweep(&self, call: &Call) -> Result<(), Error> {
        let mut waiting = 0;
        for workspace in self.repo.workspaces::<Receipt>(call, open()).await? {
            let call = Call { workspace, ..call.clone() };
            let due = open()
                .filter(Filter::compare("next_time", Operator::LessOrEqual, [now().into()]))
                .order("next_time", Direction::Ascending)
                .page(AT_ONCE, "");
            let due = self.repo.query::<Receipt>(&call, due).await?.items;
            futures::stream::iter(due)
                .for_each_concurrent(SIDE_BY_SIDE, |receipt| {
                    let call = &call;
                    async move {
                        if let Err(error) = self.print(call, &receipt.id).await {
                            tracing::warn!(receipt = receipt.id, %error, "a receipt cannot be looked after");
                        }
                    }
                })
                .await;
            let left = self.repo.aggregate::<Receipt>(&call, open(), &[], [Measure::count()], 1).await?;
            waiting += left.first().map_or(0, |group| group.number(0));
        }
        #[allow(clippy::cast_precision_loss)]
        metrics::gauge!("artel_billing_receipts_waiting").set(waiting as f64);
        Ok(())
    }

    async fn hand_over(&self, receipt: &mut Receipt) {
        match self.printer.register(receipt).await {
            Answer::Done(task) => {
                receipt.task_id = task;
                receipt.set_status(ReceiptStatus::Sent);
                receipt.error.clear();
                receipt.next_time = Some(after(delta(PAUSE.0)));
            }
            Answer::Refused { reason, message } => fail(receipt, format!("{reason}: {message}")),
            // The printer knows it by its id: whether it has it already shows when it is handed over again.
            Answer::NotDone(why) | Answer::Unknown(why) => wait(receipt, why),
        }
    }

    async fn ask(&self, receipt: &mut Receipt) {
        match self.printer.report(&receipt.task_id).await {
            Ok(Report::Waiting) => {
                let error = receipt.error.clone();
                wait(receipt, error);
            }
            Ok(Report::Printed { fiscal_number, time }) => {
                receipt.fiscal_number = fiscal_number;
                receipt.print_time = Some(time.map_or_else(now, from_chrono));
                receipt.set_status(ReceiptStatus::Printed);
                receipt.next_time = None;
                receipt.error.clear();
            }
            Ok(Report::Failed(why)) => fail(receipt, why),
            Err(why) => wait(receipt, why.0),
        }
    }

    /// Where a copy goes: to the phone, or to the address.
    async fn contact(&self, call: &Call, payment_id: &str) -> Result<String, Error> {
        let Some(payment) = self.repo.get::<Payment>(call, payment_id).await? else {
            return Ok(String::new());
        };
        let person: Option<User> = self.repo.get(call, &payment.user_id).await?;
        Ok(person.and_then(|person| person.phone.or(person.email)).unwrap_or_default())
    }

    /// Writes these fields where the receipt is still as it was read; false where somebody was faster.
    async fn write(&self, call: &Call, receipt: &mut Receipt, fields: &[&str]) -> Result<bool, Error> {
        let commit = Commit::new().update(receipt, fields).expect_version(receipt.version);
        match self.repo.commit(call, commit).await {
            Ok(_) => {
                receipt.version += 1;
                Ok(true)
            }
            Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What is not printed yet, and not given up.
pub(crate) fn open() -> Query {
    let open = [ReceiptStatus::Waiting, ReceiptStatus::Sent].map(|status| status.as_str_name());
    Query::new().filter(Filter::one_of("status", open))
}

fn is_due(receipt: &Receipt) -> bool {
    matches!(receipt.status(), ReceiptStatus::Waiting | ReceiptStatus::Sent)
        && receipt.next_time.as_ref().is_none_or(artel_util::time::is_past)
}

fn wait(receipt: &mut Receipt, why: String) {
    receipt.error = why;
    let doublings = u32::try_from(receipt.attempts - 1).unwrap_or_default().min(10);
    receipt.next_time = Some(after(delta((PAUSE.0 * 2_u32.pow(doublings)).min(PAUSE.1))));
}

fn fail(receipt: &mut Receipt, why: String) {
    tracing::error!(
        receipt = receipt.id,
        why,
        "the printer refuses a receipt for good; somebody has to look"
    );
    receipt.set_status(ReceiptStatus::Failed);
    receipt.error = why;
    receipt.next_time = None;
}

fn delta(pause: Duration) -> TimeDelta {
    TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX)
}
