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

mod outbox;
mod runs;
mod shards;
mod wake;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_handle::CancellationToken;
use artel_queue::{Outcome, Outgoing, Publisher, Unfinished};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use tokio::time::{Instant, sleep, timeout_at};

use self::outbox::Page;
use self::runs::{Run, Runs};
use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::persist::{Persist, Settings};
use crate::replay::resend;
use crate::sql::Statement;

pub(crate) use self::outbox::event;
pub(crate) use self::wake::Wake;

/// How often a copy looks who else relays, and writes down how far it is where it had nothing to publish.
const TEND: Duration = Duration::from_millis(500);
/// How often a copy counts what waits.
const COUNT: Duration = Duration::from_secs(5);
/// How often a copy shows PostgreSQL that it is alive while it waits for the broker.
const ALIVE: Duration = Duration::from_secs(1);
/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Where events go.
pub trait Broker: Send + Sync + 'static {
    /// Publishes a batch; events of one key keep their order. The outcomes come in the order of the batch.
    fn publish(&self, batch: &[Outgoing]) -> impl Future<Output = Result<Vec<Outcome>, Unfinished>> + Send;

    /// The same into the queue of one service alone.
    fn resend(
        &self,
        service: &str,
        batch: &[Outgoing],
    ) -> impl Future<Output = Result<Vec<Outcome>, Unfinished>> + Send;
}

impl Broker for Publisher {
    async fn publish(&self, batch: &[Outgoing]) -> Result<Vec<Outcome>, Unfinished> {
        Self::publish(self, batch).await
    }

    async fn resend(&self, service: &str, batch: &[Outgoing]) -> Result<Vec<Outcome>, Unfinished> {
        Self::resend(self, service, batch).await
    }
}

/// Takes events from the outbox to the broker.
pub(crate) struct Relay<B> {
    system: Database,
    broker: Arc<B>,
    /// Told by each commit that has events.
    wake: Arc<Wake>,
    /// Events published together.
    batch: usize,
    /// How often to look for events that were not told of.
    poll: Duration,
    /// The names of the events that nobody listens to, as far as it was said.
    told: Mutex<HashSet<String>>,
}

/// How long the event that is published next has waited.
fn tell_age(events: &[Outgoing]) {
    let age = events.first().map(|event| chrono::Utc::now().signed_duration_since(event.time));
    let seconds = age.and_then(|age| age.to_std().ok()).map_or(0.0, |age| age.as_secs_f64());
    metrics::gauge!("artel_persist_outbox_age_seconds").set(seconds);
}

/// Sleeps, but not longer than the relay is to run.
async fn rest(time: Duration, stop: &CancellationToken) {
    let _ = stop.run_until_cancelled(sleep(time)).await;
}

/// Keeps PostgreSQL from taking the connection for dead.
async fn stay(connection: &AsyncPgConnection) -> Infallible {
    while {
        sleep(ALIVE).await;
        Statement::fixed("SELECT 1").named(Name::of("relay.stay")).load(connection).await.is_ok()
    } {}
    std::future::pending().await
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
        // The page that was read while the one before it was confirmed.
        let mut ahead: Option<Page> = None;
        let (mut tend, mut count) = (Instant::now(), Instant::now() + COUNT);
        // Until then there is nothing to read, unless somebody says so.
        let mut quiet = Instant::now();
        loop {
            if stop.is_cancelled() {
                return self.save(&connection, &mut runs).await;
            }
            if Instant::now() >= tend {
                tend = Instant::now() + TEND;
                if self.tend(&connection, &mut runs).await? {
                    (ahead, quiet) = (None, Instant::now());
                }
            }
            if Instant::now() >= count {
                count = Instant::now() + COUNT;
                self.count(&connection, &mut runs).await?;
            }
            if Instant::now() < quiet {
                let woken = timeout_at(quiet.min(tend), self.wake.notified());
                if let Some(Ok(())) = stop.run_until_cancelled(woken).await {
                    quiet = Instant::now();
                }
                continue;
            }
            let are_one = runs.are_one();
            let Some((run, bound)) = runs.next() else {
                tell_age(&[]);
                rest(TEND, stop).await;
                continue;
            };
            let page = match ahead.take() {
                Some(page) => page,
                None => Page::read(&connection, &run.shards, run.cursor.clone(), bound, self.batch).await?,
            };
            tell_age(&page.events);
            if page.events.is_empty() {
                run.unsaved |= page.passed;
                run.cursor = page.end();
                runs.merge();
                if are_one {
                    *pause = PAUSE.0;
                    quiet = Instant::now() + self.poll;
                }
                continue;
            }
            // The next page is read while this one is confirmed.
            let next = async {
                if !are_one {
                    return Ok(None);
                }
                Page::read(&connection, &run.shards, page.end(), None, self.batch).await.map(Some)
            };
            let (published, next) = futures::join!(self.publish(&connection, &page.events), next);
            match published {
                Ok(outcomes) => {
                    *pause = PAUSE.0;
                    self.settle(&connection, run, &page, &outcomes).await?;
                    ahead = next?;
                }
                Err(unfinished) => {
                    let known = unfinished.outcomes.iter().map_while(|outcome| *outcome).collect::<Vec<_>>();
                    self.settle(&connection, run, &page, &known).await?;
                    tracing::warn!(open = unfinished.open(), cause = %unfinished.cause, "events wait for the broker");
                    rest(*pause, stop).await;
                    *pause = (*pause * 2).min(PAUSE.1);
                }
            }
            runs.merge();
        }
    }

    async fn publish(
        &self,
        connection: &AsyncPgConnection,
        events: &[Outgoing],
    ) -> Result<Vec<Outcome>, Unfinished> {
        tokio::select! {
            published = self.broker.publish(events) => published,
            never = stay(connection) => match never {},
        }
    }

    /// Sees to it that this copy has its share, neither more nor less. True where it has other shards than before.
    async fn tend(&self, connection: &AsyncPgConnection, runs: &mut Runs) -> Result<bool, Failure> {
        self.save(connection, runs).await?;
        let before = runs.held();
        let share = shards::balance(connection, runs).await?;
        let held = runs.held();
        self.wake.set_shared(share.copies > 1);
        metrics::gauge!("artel_persist_relay_shards").set(held as f64);
        if held != before {
            tracing::info!(shards = held, before, copies = share.copies, "relaying");
        }
        Ok(held != before)
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
    fn tell_unwanted(&self, event: &Outgoing) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(event.name.clone()) {
            tracing::warn!(event = event.name, id = event.id, "nobody listens to this event");
        }
    }

    /// Moves the cursor behind the events that the broker answered for, and notes those that nobody wants.
    async fn settle(
        &self,
        connection: &AsyncPgConnection,
        run: &mut Run,
        page: &Page,
        outcomes: &[Outcome],
    ) -> Result<(), Failure> {
        if outcomes.is_empty() {
            return Ok(());
        }
        let unwanted = page.events.iter().zip(&page.positions).zip(outcomes);
        let unwanted = unwanted.filter(|(_, outcome)| **outcome == Outcome::Unroutable);
        let unwanted: Vec<i64> = unwanted
            .map(|((event, position), _)| {
                self.tell_unwanted(event);
                *position
            })
            .collect();
        metrics::counter!("artel_persist_events_relayed_total").increment(outcomes.len() as u64);
        metrics::counter!("artel_persist_events_unroutable_total").increment(unwanted.len() as u64);
        // Only of those shards that had events: of the others there is nothing up to here.
        let place = page.place(outcomes.len());
        outbox::advance(connection, &place, &page.shards(outcomes.len()), &unwanted).await?;
        run.cursor = place;
        run.unsaved = true;
        Ok(())
    }
}
