//! The relay takes events from the outbox to the broker, in the order of their commits, and skips none.
//!
//! Transactions commit in another order than they begin in, so "greater than the last one seen" loses rows. The relay
//! reads in windows between moments (see [`crate::snapshot`]): what was committed since the last one, in the order of
//! positions. So nothing is skipped, nothing waits for a transaction that runs for long, and a cursor of two moments and a
//! position is enough to know what was published.
//!
//! Several copies of persist relay at once. The events are divided into shards by their keys, and each shard is relayed by
//! the copy that holds its lock. A copy that comes gets its share when the others are done with the batch in hand; one that
//! dies loses its locks with its connection, and whoever takes them over goes on from the cursors it left, and may publish
//! a batch twice: listeners know an event by its id.

mod flow;
mod outbox;
mod runs;
mod shards;
mod wake;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_handle::CancellationToken;
use artel_queue::{Event, Outcome, Publisher, Unfinished};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use tokio::time::{Instant, sleep};

use self::flow::Course;
use self::runs::Runs;
use crate::database::Database;
use crate::failure::Failure;
use crate::persist::{Persist, Settings};
use crate::replay::resend;

pub(crate) use self::outbox::event;
pub(crate) use self::wake::Wake;

/// How often a copy looks who else relays, and writes down how far it is where it had nothing to publish.
const TEND: Duration = Duration::from_millis(500);
/// How often a copy counts what waits.
const COUNT: Duration = Duration::from_secs(5);
/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where events go.
pub trait Broker: Send + Sync + 'static {
    /// Publishes a batch; events of one key keep their order. The outcomes come in the order of the batch.
    fn publish(&self, batch: &[Event]) -> impl Future<Output = Result<Vec<Outcome>, Unfinished>> + Send;

    /// The same into the queue of one service alone.
    fn resend(
        &self,
        service: &str,
        batch: &[Event],
    ) -> impl Future<Output = Result<Vec<Outcome>, Unfinished>> + Send;
}

impl Broker for Publisher {
    async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        Self::publish(self, batch).await
    }

    async fn resend(&self, service: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        Self::resend(self, service, batch).await
    }
}

/// Takes events from the outbox to the broker.
pub(crate) struct Relay<B> {
    system: Database,
    broker: Arc<B>,
    /// Told by each commit that has events.
    wake: Arc<Wake>,
    /// Events published together, and how many such pages at once.
    batch: usize,
    pages: usize,
    /// How often to look for events that were not told of.
    poll: Duration,
    /// The names of the events that nobody listens to, as far as it was said.
    told: Mutex<HashSet<String>>,
}

/// How long the event that is published next has waited.
fn tell_age(events: &[Event]) {
    let age = events.first().map(|event| chrono::Utc::now().signed_duration_since(event.time));
    let seconds = age.and_then(|age| age.to_std().ok()).map_or(0.0, |age| age.as_secs_f64());
    metrics::gauge!("artel_persist_outbox_age_seconds").set(seconds);
}

/// Sleeps, but not longer than the relay is to run.
async fn rest(time: Duration, stop: &CancellationToken) {
    let _ = stop.run_until_cancelled(sleep(time)).await;
}

impl<B: Broker> Relay<B> {
    pub(crate) fn of(persist: &Persist, broker: B, settings: &Settings) -> Self {
        let broker = Arc::new(broker);
        // The first broker is the one.
        let _ = persist.resend.set(resend(Arc::clone(&broker)));
        Self {
            system: persist.system.clone(),
            broker,
            wake: Arc::clone(&persist.wake),
            batch: settings.relay_batch,
            pages: settings.relay_pages,
            poll: Duration::from_millis(settings.relay_poll_ms),
            told: Mutex::default(),
        }
    }

    /// Relays until told to stop. Then what is in hand is published and noted, so that whoever goes on does not publish
    /// it again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = self.relay(&stop) => {}
            () = self.wake.run(&self.system) => {}
        }
    }

    async fn relay(&self, stop: &CancellationToken) {
        let mut pause = PAUSE.0;
        while !stop.is_cancelled() {
            let Err(failure) = self.share(&mut pause, stop).await else { return };
            tracing::warn!(?failure, "the relay pauses");
            // Whoever takes over knows; that the database is away is told elsewhere.
            tell_age(&[]);
            metrics::gauge!("artel_persist_relay_shards").set(0.0);
            rest(pause, stop).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Relays this copy's share, as long as the connection holds.
    async fn share(&self, pause: &mut Duration, stop: &CancellationToken) -> Result<(), Failure> {
        // Not the pool's any more: the locks must end with it.
        let connection: AsyncPgConnection = Object::take(self.system.connection().await?);
        while !shards::join(&connection).await? {
            rest(TEND, stop).await;
            if stop.is_cancelled() {
                return Ok(());
            }
        }
        outbox::prepare(&connection).await?;
        let mut runs = Runs::default();
        let (mut tend, mut count) = (Instant::now(), Instant::now() + COUNT);
        loop {
            if stop.is_cancelled() {
                return self.save(&connection, &mut runs).await;
            }
            if Instant::now() >= tend {
                tend = Instant::now() + TEND;
                self.tend(&connection, &mut runs).await?;
            }
            if Instant::now() >= count {
                count = Instant::now() + COUNT;
                self.count(&connection, &mut runs).await?;
            }
            let is_patient = runs.are_one();
            let Some((run, bound)) = runs.next() else {
                tell_age(&[]);
                rest(TEND, stop).await;
                continue;
            };
            let (course, before) = (Course { bound, is_patient, due: tend }, run.cursor.clone());
            let unfinished = self.flow(&connection, run, course, stop).await?;
            // The broker takes something.
            if unfinished.is_none() || run.cursor != before {
                *pause = PAUSE.0;
            }
            if let Some(unfinished) = unfinished {
                tracing::warn!(open = unfinished.open(), cause = %unfinished.cause, "events wait for the broker");
                rest(*pause, stop).await;
                *pause = (*pause * 2).min(PAUSE.1);
            }
            runs.merge();
        }
    }

    /// Sees to it that this copy has its share, neither more nor less.
    async fn tend(&self, connection: &AsyncPgConnection, runs: &mut Runs) -> Result<(), Failure> {
        self.save(connection, runs).await?;
        let before = runs.held();
        let share = shards::balance(connection, runs).await?;
        let held = runs.held();
        self.wake.set_shared(share.copies > 1);
        metrics::gauge!("artel_persist_relay_shards").set(held as f64);
        if held != before {
            tracing::info!(shards = held, before, copies = share.copies, "relaying");
        }
        Ok(())
    }

    /// Writes down how far the shards are that had nothing to publish: whoever takes them over need not look there again.
    async fn save(&self, connection: &AsyncPgConnection, runs: &mut Runs) -> Result<(), Failure> {
        for run in runs.iter_mut().filter(|run| run.unsaved) {
            outbox::advance(connection, &run.cursor, &run.shards, &[]).await?;
            run.unsaved = false;
        }
        Ok(())
    }

    async fn count(&self, connection: &AsyncPgConnection, runs: &mut Runs) -> Result<(), Failure> {
        let mut waiting = 0;
        for run in runs.iter_mut() {
            waiting += outbox::waiting(connection, &run.shards, &run.cursor).await?;
        }
        metrics::gauge!("artel_persist_outbox_waiting").set(waiting as f64);
        Ok(())
    }

    /// Says once that nobody listens to a kind of event; each is noted in the outbox and counted.
    fn tell_unwanted(&self, event: &Event) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(event.name.clone()) {
            tracing::warn!(event = event.name, id = event.id, "nobody listens to this event");
        }
    }
}
