//! The robots themselves.

use std::{io, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Line,
    jobs::{Effect, Known},
};

/// How often the robots look at their clocks.
const TICK: Duration = Duration::from_millis(10);
const BREAKDOWN: &str = "the gripper of the station is jammed";

/// Cooks for ever.
pub(super) async fn cook(line: Arc<Line>) {
    loop {
        tokio::time::sleep(TICK).await;
        match line.tick() {
            Ok(true) => line.changed.notify_waiters(),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the line's ledger cannot be written"),
        }
    }
}

impl Line {
    /// Ends what is due and begins what there are stations for; says whether anything changed.
    fn tick(&self) -> io::Result<bool> {
        let mut page = self.desk.ledger.page();
        let before = page.last();
        let now = Utc::now();
        let due: Vec<_> = page
            .vendor()
            .cooking()
            .filter(|known| self.ends(known).is_some_and(|end| end <= now))
            .map(|known| (known.job.external_id.clone(), known.breaks, known.told_twice))
            .collect();
        for (external_id, breaks, told_twice) in due {
            if breaks {
                page.record(Effect::Broken { external_id, error: BREAKDOWN.to_owned() })?;
                continue;
            }
            page.record(Effect::Done { external_id: external_id.clone() })?;
            if told_twice {
                page.record(Effect::Repeated { external_id })?;
            }
        }
        while page.vendor().cooking().len() < self.options.stations {
            let Some(next) = page.vendor().next_in_queue() else { break };
            let external_id = next.job.external_id.clone();
            page.record(Effect::Started { external_id })?;
        }
        Ok(page.last() != before)
    }

    /// When a job that cooks is ready; one that breaks does so half way.
    fn ends(&self, known: &Known) -> Option<DateTime<Utc>> {
        let whole = known.job.takes().div_f64(self.options.speed);
        let takes = if known.breaks { whole / 2 } else { whole };
        known.started?.checked_add_signed(TimeDelta::from_std(takes).ok()?)
    }
}
