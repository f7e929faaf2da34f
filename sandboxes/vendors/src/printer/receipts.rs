//! Receipts that wait, and receipts on paper.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kit::{Desk, Entry, Page, Vendor};

/// How often the printer looks whether there is something to print.
const LOOK: Duration = Duration::from_millis(20);

/// Something the printer did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// It took a receipt.
    Registered { slip: Slip, broken: bool },
    /// It printed one.
    Printed { slip: Slip, fiscal_number: u64 },
    /// It could not print one.
    Failed { slip: Slip },
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slip {
    /// The merchant's key.
    pub external_id: String,
    /// The printer's.
    pub uuid: String,
    pub operation: Operation,
    pub total_minor: i64,
    /// By card.
    pub electronic_minor: i64,
    /// By what was paid before: points.
    pub prepaid_minor: i64,
    pub items: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    Sell,
    SellRefund,
}

/// The printer's memory.
#[derive(Debug, Default)]
pub struct Printer {
    by_external_id: HashMap<String, String>,
    tasks: HashMap<String, Task>,
    /// What waits, by its place in the ledger.
    waiting: BTreeMap<u64, String>,
    printed: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub slip: Slip,
    pub state: State,
    taken: (u64, DateTime<Utc>),
    broken: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    Waiting,
    Printed { fiscal_number: u64, time: DateTime<Utc> },
    Failed,
}

impl Vendor for Printer {
    const NAME: &'static str = "printer";
    type Effect = Effect;

    fn apply(&mut self, entry: &Entry<Effect>) {
        match &entry.effect {
            Effect::Registered { slip, broken } => {
                self.by_external_id.insert(slip.external_id.clone(), slip.uuid.clone());
                self.waiting.insert(entry.number, slip.uuid.clone());
                let taken = (entry.number, entry.time);
                let task = Task { slip: slip.clone(), state: State::Waiting, taken, broken: *broken };
                self.tasks.insert(slip.uuid.clone(), task);
            }
            Effect::Printed { slip, fiscal_number } => {
                self.printed = *fiscal_number;
                self.end(&slip.uuid, State::Printed { fiscal_number: *fiscal_number, time: entry.time });
            }
            Effect::Failed { slip } => self.end(&slip.uuid, State::Failed),
        }
    }
}

impl Printer {
    fn end(&mut self, uuid: &str, state: State) {
        if let Some(task) = self.tasks.get_mut(uuid) {
            task.state = state;
            self.waiting.remove(&task.taken.0);
        }
    }

    pub(crate) fn task(&self, uuid: &str) -> Option<&Task> {
        self.tasks.get(uuid)
    }
}

impl Page<Printer> {
    /// Takes a receipt once; the uuid of it is in `Err` where it has one with that `external_id`.
    pub(crate) fn register(&mut self, mut slip: Slip, broken: bool) -> io::Result<Result<String, String>> {
        if let Some(known) = self.vendor().by_external_id.get(&slip.external_id) {
            return Ok(Err(known.clone()));
        }
        slip.uuid = Uuid::now_v7().to_string();
        let uuid = slip.uuid.clone();
        self.record(Effect::Registered { slip, broken })?;
        Ok(Ok(uuid))
    }

    fn print_what_is_due(&mut self, prints_in: TimeDelta) -> io::Result<()> {
        let due = Utc::now() - prints_in;
        loop {
            let printer = self.vendor();
            let next = printer.waiting.values().next().and_then(|uuid| printer.tasks.get(uuid));
            let Some(task) = next.filter(|task| task.taken.1 <= due) else { return Ok(()) };
            let slip = task.slip.clone();
            let fiscal_number = printer.printed + 1;
            let effect =
                if task.broken { Effect::Failed { slip } } else { Effect::Printed { slip, fiscal_number } };
            self.record(effect)?;
        }
    }
}

/// Prints for ever, one after another; nothing while it is down.
pub(super) async fn print(desk: Arc<Desk<Printer>>, prints_in: Duration) {
    let prints_in = TimeDelta::from_std(prints_in).unwrap_or(TimeDelta::zero());
    loop {
        tokio::time::sleep(LOOK).await;
        if desk.faults.get().down {
            continue;
        }
        if let Err(error) = desk.ledger.page().print_what_is_due(prints_in) {
            tracing::error!(%error, "the printer's ledger cannot be written");
        }
    }
}
