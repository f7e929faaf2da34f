//! How long work that is ready waits for a processor. A handler that computes and never waits holds up all others on its
//! thread: their requests lie where no handler's time tells of them, and have been late before they are looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::admission::nanos;

/// How often it is looked whether ready work is done; what waits for less is not seen.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// When the next look is due. While it is overdue, so is everything that became ready since.
#[derive(Debug)]
pub(crate) struct Lag(AtomicU64);

impl Lag {
    /// Looks for as long as somebody holds it. Must be called within a tokio runtime.
    pub(crate) fn measured() -> Arc<Self> {
        let lag = Arc::new(Self(AtomicU64::new(u64::MAX)));
        let look = Arc::downgrade(&lag);
        tokio::spawn(async move {
            while let Some(lag) = look.upgrade() {
                let due = Instant::now() + EVERY;
                lag.0.store(nanos(due), Ordering::Relaxed);
                drop(lag);
                tokio::time::sleep_until(due).await;
            }
        });
        lag
    }

    /// How long the look is overdue at that moment of the process.
    pub(crate) fn at(&self, moment: u64) -> Duration {
        Duration::from_nanos(moment.saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}
