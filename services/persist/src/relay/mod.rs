//! The relay takes events from the outbox to the broker, in the order of their commits, and skips none.
//!
//! Transactions commit in another order than they begin in, so "greater than the last one seen" loses rows. The relay
//! reads in windows of transactions that are all over, because they lie below the oldest one still running: there no row
//! can appear any more, and a cursor is enough to know what was published.
//!
//! Of several copies one relays, the one that holds a lock of its connection; the others stand by. When it loses the
//! connection, the next one goes on from the cursor and may publish a batch twice: listeners know an event by its id.

mod outbox;

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_queue::{Outcome, Outgoing, Publisher, Unfinished};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use tokio::sync::Notify;

use self::outbox::{Cursor, Page};
use crate::database::Database;
use crate::failure::Failure;
use crate::persist::{Persist, Settings};

/// How long another copy's lock is left alone before it is tried again.
const STAND_BY: Duration = Duration::from_millis(500);
/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The pauses while the next event waits for an older transaction to end: from, up to.
const BLOCKED: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Where events go.
pub trait Broker: Send + Sync + 'static {
    /// Publishes a batch; events of one key keep their order. The outcomes come in the order of the batch.
    fn publish(&self, batch: &[Outgoing]) -> impl Future<Output = Result<Vec<Outcome>, Unfinished>> + Send;
}

impl Broker for Publisher {
    async fn publish(&self, batch: &[Outgoing]) -> Result<Vec<Outcome>, Unfinished> {
        Self::publish(self, batch).await
    }
}

/// Takes events from the outbox to the broker.
pub(crate) struct Relay<B> {
    system: Database,
    broker: B,
    /// Told by each commit of this process that has events.
    wake: Arc<Notify>,
    /// Events published together.
    batch: usize,
    /// How often to look for events that other processes committed.
    poll: Duration,
    /// The names of the events that nobody listens to, as far as it was said.
    told: Mutex<HashSet<String>>,
}

/// How long the event that is published next has waited. What an older transaction holds back cannot be seen yet.
fn tell_age(events: &[Outgoing]) {
    let age = events.first().map(|event| chrono::Utc::now().signed_duration_since(event.time));
    let seconds = age.and_then(|age| age.to_std().ok()).map_or(0.0, |age| age.as_secs_f64());
    metrics::gauge!("artel_persist_outbox_age_seconds").set(seconds);
}

impl<B: Broker> Relay<B> {
    pub(crate) fn of(persist: &Persist, broker: B, settings: &Settings) -> Self {
        Self {
            system: persist.system.clone(),
            broker,
            wake: Arc::clone(&persist.wake),
            batch: settings.relay_batch,
            poll: Duration::from_millis(settings.relay_poll_ms),
            told: Mutex::default(),
        }
    }

    /// Relays until the future is dropped.
    pub(crate) async fn run(self) {
        let mut pause = PAUSE.0;
        loop {
            let Err(failure) = self.lead(&mut pause).await;
            tracing::warn!(?failure, "the relay pauses");
            // Whoever leads next knows; that the database is away is told elsewhere.
            tell_age(&[]);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Relays as the one that does, as long as the connection holds.
    async fn lead(&self, pause: &mut Duration) -> Result<std::convert::Infallible, Failure> {
        // Not the pool's any more: the lock must end with it.
        let connection: AsyncPgConnection = Object::take(self.system.connection().await?);
        while !outbox::lock(&connection).await? {
            tokio::time::sleep(STAND_BY).await;
        }
        outbox::prepare(&connection).await?;
        let mut cursor = Cursor::read(&connection).await?;
        tracing::info!(cursor.txid, cursor.until, cursor.position, "relaying");
        let mut page = Page::empty(cursor);
        let mut blocked = BLOCKED.0;
        loop {
            if page.events.is_empty() {
                page = Page::read(&connection, &cursor, self.batch).await?;
            }
            tell_age(&page.events);
            if page.events.is_empty() {
                if page.is_blocked {
                    tokio::time::sleep(blocked).await;
                    blocked = (blocked * 2).min(BLOCKED.1);
                } else {
                    *pause = PAUSE.0;
                    let _ = tokio::time::timeout(self.poll, self.wake.notified()).await;
                }
                continue;
            }
            blocked = BLOCKED.0;
            // The next page is read while this one is confirmed.
            let (published, next) = futures::join!(
                self.broker.publish(&page.events),
                Page::read(&connection, page.end(), self.batch)
            );
            let outcomes = match published {
                Ok(outcomes) => outcomes,
                Err(unfinished) => {
                    let known = unfinished.outcomes.iter().map_while(|outcome| *outcome).collect::<Vec<_>>();
                    self.settle(&connection, &mut cursor, &page, &known).await?;
                    page = Page::empty(cursor);
                    tracing::warn!(open = unfinished.open(), cause = %unfinished.cause, "events wait for the broker");
                    tokio::time::sleep(*pause).await;
                    *pause = (*pause * 2).min(PAUSE.1);
                    continue;
                }
            };
            *pause = PAUSE.0;
            self.settle(&connection, &mut cursor, &page, &outcomes).await?;
            page = next?;
        }
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
        cursor: &mut Cursor,
        page: &Page,
        outcomes: &[Outcome],
    ) -> Result<(), Failure> {
        let Some(last) = outcomes.len().checked_sub(1).and_then(|last| page.places.get(last)) else {
            return Ok(());
        };
        let unwanted = |(event, outcome): (&Outgoing, &Outcome)| {
            (*outcome == Outcome::Unroutable).then(|| {
                self.tell_unwanted(event);
                event.id.clone()
            })
        };
        let unwanted: Vec<String> = page.events.iter().zip(outcomes).filter_map(unwanted).collect();
        metrics::counter!("artel_persist_events_relayed_total").increment(outcomes.len() as u64);
        metrics::counter!("artel_persist_events_unroutable_total").increment(unwanted.len() as u64);
        outbox::advance(connection, last, &unwanted).await?;
        *cursor = *last;
        Ok(())
    }
}
