//! The one of this process that follows the change log, for all who watch. It is told of commits of this process, and
//! looks for those of other copies. It runs while somebody watches.
//!
//! Across workspaces it reads no more than which entities changed where; the changes themselves are read in each
//! workspace, where row-level security stands behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use artel_util::Error;
use artel_util::time::to_chrono;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::changes::{Asked, Log, Row};
use super::place::Place;
use super::settings::Bounds;
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::measure::Name;
use crate::snapshot::{Snapshot, rows_of_window, window};
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self};

/// The moment now, with the epoch, and what changed since the moment before.
const LOOK: &str = concat!(
    "SELECT pg_current_snapshot()::text, epoch, NULL::uuid, NULL::text, NULL::timestamptz FROM history
UNION ALL
SELECT NULL, NULL, w.workspace_id, w.entity, min(w.time) FROM ",
    rows_of_window!("change_log", " AND position > (SELECT floor FROM history)"),
    " GROUP BY w.workspace_id, w.entity"
);

const NOW: &str = "SELECT pg_current_snapshot()::text, epoch FROM history";

/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What those who share a channel watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    pub(super) workspace: Uuid,
    pub(super) entity: String,
    pub(super) with_body: bool,
}

/// Rows of one window, in the order of positions.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) until: Snapshot,
    pub(super) rows: Vec<Row>,
}

/// How far the reader is: everything up to there was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) epoch: i64,
    pub(super) snapshot: Snapshot,
}

pub(super) struct Reader {
    log: Log,
    system: Database,
    bounds: Bounds,
    woken: Notify,
    topics: Mutex<Topics>,
    /// `None` until the first look since somebody watches.
    reached: watch::Sender<Option<Reached>>,
}

#[derive(Default)]
struct Topics {
    open: HashMap<Topic, broadcast::Sender<Arc<Batch>>>,
    is_read: bool,
}

/// What changed in a window, and since when that waits.
struct Look {
    now: Reached,
    changed: Vec<(Uuid, String)>,
    oldest: Option<DateTime<Utc>>,
}

impl Reader {
    pub(super) fn new(log: Log, system: Database, bounds: Bounds) -> Self {
        let (woken, topics, reached) = (Notify::new(), Mutex::default(), watch::Sender::new(None));
        Self { log, system, bounds, woken, topics, reached }
    }

    /// Says that something was committed by this process.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }

    /// What comes from now on, and up to where one has to read by oneself before: nothing lies between, but some of
    /// what comes may have been seen.
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        topic: &Topic,
    ) -> Result<(broadcast::Receiver<Arc<Batch>>, Reached), Error> {
        let receiver = {
            let mut topics = self.topics();
            let sender = topics.open.entry(topic.clone());
            let receiver = sender.or_insert_with(|| broadcast::Sender::new(self.bounds.pages)).subscribe();
            if !topics.is_read {
                topics.is_read = true;
                tokio::spawn(Arc::clone(self).run());
            }
            receiver
        };
        let mut reached = self.reached.subscribe();
        let reached = tokio::time::timeout(self.log.time, reached.wait_for(Option::is_some)).await;
        let reached = reached.ok().and_then(Result::ok).and_then(|reached| reached.clone());
        let reached = reached.ok_or_else(|| {
            Error::from(Failure::Away("the reader of the change log does not get through".to_owned()))
        })?;
        Ok((receiver, reached))
    }

    /// How far it is. Everything up to there lies in the channels.
    pub(super) fn reached(&self) -> Option<Reached> {
        self.reached.borrow().clone()
    }

    /// Follows the log until nobody watches.
    async fn run(self: Arc<Self>) {
        let mut pause = PAUSE.0;
        let mut at: Option<Reached> = None;
        while self.is_wanted() {
            let began = Instant::now();
            match self.step(&mut at).await {
                Ok(()) => {
                    pause = PAUSE.0;
                    let woken = tokio::time::timeout(self.bounds.poll(), self.woken.notified());
                    let _ = woken.await;
                    // Commits that come one after another are looked for together.
                    tokio::time::sleep(self.bounds.pause().saturating_sub(began.elapsed())).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the change log cannot be followed; those who watch wait");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// False where nobody watches any more: then the next one who does starts it anew.
    fn is_wanted(&self) -> bool {
        let mut topics = self.topics();
        topics.open.retain(|_, sender| sender.receiver_count() > 0);
        if topics.open.is_empty() {
            topics.is_read = false;
            self.reached.send_replace(None);
            metrics::gauge!("artel_persist_watch_lag_seconds").set(0.0);
        }
        !topics.open.is_empty()
    }

    /// Reads what is new and hands it out.
    async fn step(&self, at: &mut Option<Reached>) -> Result<(), Error> {
        let Some(before) = at.as_ref() else {
            let rows = self.system.query(Statement::fixed(NOW)).await?;
            let now = rows.first().and_then(Reached::read).ok_or_else(no_history)?;
            self.reached.send_replace(Some(now.clone()));
            *at = Some(now);
            return Ok(());
        };
        let look = self.look(&before.snapshot).await?;
        if look.now.epoch != before.epoch || !look.now.snapshot.includes(&before.snapshot) {
            // Another history than a moment ago: all begin anew, and are told so.
            tracing::warn!("the database was restored; everybody who watches begins anew");
            self.topics().open.clear();
            self.reached.send_replace(None);
            *at = None;
            return Ok(());
        }
        let read = self.read(&before.snapshot, &look).await?;
        let rows: usize = read.values().flatten().flatten().map(|batch| batch.rows.len()).sum();
        self.hand_out(&look, read);
        metrics::counter!("artel_persist_watch_rows_total").increment(rows as u64);
        let lag = look.oldest.and_then(|oldest| (Utc::now() - oldest).to_std().ok());
        metrics::gauge!("artel_persist_watch_lag_seconds").set(lag.unwrap_or_default().as_secs_f64());
        *at = Some(look.now);
        Ok(())
    }

    async fn look(&self, before: &Snapshot) -> Result<Look, Error> {
        let rows = self
            .system
            .query(window(LOOK, before, &Snapshot::end()).named(Name::of("change_log.look")))
            .await?;
        let now = rows.iter().find_map(Reached::read).ok_or_else(no_history)?;
        let changed = rows.iter().filter_map(|row| {
            let workspace = with_column(row, 2, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()))?;
            let entity = with_column(row, 3, |cell| Some(String::from_utf8_lossy(cell?).into_owned()))?;
            Some((workspace, entity))
        });
        let times = rows
            .iter()
            .filter_map(|row| to_chrono(&with_column(row, 4, |cell| cell.and_then(value::moment))?));
        Ok(Look { now, changed: changed.collect(), oldest: times.min() })
    }

    /// What of the window somebody watches. `None` where that is more than a channel holds: whoever watches it reads by
    /// themselves.
    async fn read(
        &self,
        before: &Snapshot,
        look: &Look,
    ) -> Result<HashMap<Topic, Option<Vec<Arc<Batch>>>>, Error> {
        let watched: Vec<Topic> = {
            let topics = self.topics();
            let changed = look.changed.iter().flat_map(|(workspace, entity)| {
                [true, false].map(|with_body| Topic {
                    workspace: *workspace,
                    entity: entity.clone(),
                    with_body,
                })
            });
            changed.filter(|topic| topics.open.contains_key(topic)).collect()
        };
        let mut read = HashMap::with_capacity(watched.len());
        for topic in watched {
            let Ok(entity) = self.log.plans.entity(&topic.entity, "entity") else { continue };
            let scope = Scope { workspace: topic.workspace, time: self.log.time, trace: Uuid::nil() };
            let asked = Asked { entity, ids: &[], with_body: topic.with_body, page: self.bounds.page };
            let mut place = Place::at(look.now.epoch, before.clone());
            place.next_window(look.now.snapshot.clone());
            let mut batches = Vec::new();
            let batches = loop {
                let rows = self.log.read(scope, &place, asked).await?;
                let is_last = rows.len() < asked.page;
                if let Some(last) = rows.last() {
                    place.position = last.position;
                    batches.push(Arc::new(Batch { until: look.now.snapshot.clone(), rows }));
                }
                if is_last {
                    break Some(batches);
                }
                if batches.len() >= self.bounds.pages {
                    break None;
                }
            };
            read.insert(topic, batches);
        }
        Ok(read)
    }

    /// At one blow for whoever comes meanwhile: the window is in the channels and reached, or neither.
    fn hand_out(&self, look: &Look, mut read: HashMap<Topic, Option<Vec<Arc<Batch>>>>) {
        let mut topics = self.topics();
        for (workspace, entity) in &look.changed {
            for with_body in [true, false] {
                let topic = Topic { workspace: *workspace, entity: entity.clone(), with_body };
                match (read.remove(&topic).flatten(), topics.open.get(&topic)) {
                    (Some(batches), Some(sender)) => {
                        for batch in batches {
                            // That nobody is there any more is seen at the next look.
                            let _ = sender.send(batch);
                        }
                    }
                    // Too much, or opened since it was read: what is missing is read by those who watch it.
                    (None, Some(_)) => drop(topics.open.remove(&topic)),
                    (_, None) => {}
                }
            }
        }
        self.reached.send_replace(Some(look.now.clone()));
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reached {
    /// The first two columns: a snapshot's text and the epoch.
    pub(super) fn read(row: &DriverRow) -> Option<Self> {
        let snapshot = Snapshot::read(row, 0)?;
        let epoch = sql::number(row, 1)?;
        Some(Self { epoch, snapshot })
    }
}

/// The row was made by the migration.
pub(super) fn no_history() -> Error {
    Error::internal("the table `history` has lost its row")
}
