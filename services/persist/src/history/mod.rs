//! What happened to the rows: the change log as it is watched, and as it is sealed and verified.
//!
//! ```text
//! place    how far a reader of the log is, and as a token
//! changes  a page of the log as messages
//! reader   the one of this process that follows the log, for all who watch
//! watch    one that watches: catches up by itself, then hears from the reader
//! seal     the log's seals: set a moment after the commit, and checked
//! ```

mod changes;
mod place;
mod reader;
mod seal;
mod settings;
mod watch;

use std::sync::Arc;

use artel_handle::CancellationToken;
use tokio::sync::Semaphore;

use self::reader::Reader;
use crate::database::Database;

pub(crate) use changes::Log;
pub(crate) use seal::{Checked, Keys, Sealer, Verifier};
pub use settings::Bounds;
pub(crate) use watch::Watched;

/// What it takes to watch.
pub(crate) struct History {
    log: Log,
    bounds: Bounds,
    reader: Arc<Reader>,
    /// Those who may still come.
    places: Arc<Semaphore>,
    /// Reads of those who catch up, at once.
    catch_ups: Semaphore,
    closing: CancellationToken,
}

impl History {
    pub(crate) fn new(log: Log, system: Database, bounds: Bounds) -> Self {
        let reader = Reader::new(log.clone(), system, bounds);
        Self {
            log,
            bounds,
            reader: Arc::new(reader),
            places: Arc::new(Semaphore::new(bounds.most)),
            catch_ups: Semaphore::new(bounds.catch_ups),
            closing: CancellationToken::new(),
        }
    }

    /// Says that something was committed here.
    pub(crate) fn committed(&self) {
        self.reader.wake();
    }

    /// Sends everybody who watches to another copy when the service drains.
    pub(crate) async fn close(self: Arc<Self>, draining: CancellationToken) {
        draining.cancelled().await;
        self.closing.cancel();
    }
}
