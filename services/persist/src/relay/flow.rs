//! A run on its way to the broker. Pages are read, published and noted side by side: while some wait for their confirms
//! the next ones follow, as many as have a channel.
//!
//! Events of one key are never on their way in two pages, so what the broker refuses is published again before anything
//! that comes after it.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use artel_handle::CancellationToken;
use artel_queue::{Event, Outcome, Unfinished};
use diesel_async::AsyncPgConnection;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::outbox::{self, Cursor, Page};
use super::runs::Run;
use super::{Broker, Relay, tell_age};
use crate::failure::Failure;
use crate::measure::Name;
use crate::snapshot::Snapshot;
use crate::sql::Statement;

/// How often a copy shows PostgreSQL that it is alive while it waits for the broker.
const ALIVE: Duration = Duration::from_secs(1);

/// Up to where, and until when, a run is relayed.
pub(super) struct Course {
    /// Up to a moment where others wait.
    pub(super) bound: Option<Arc<Snapshot>>,
    /// Waits for more where there is nothing.
    pub(super) is_patient: bool,
    /// Nothing is begun from then on.
    pub(super) due: Instant,
}

/// Published, and not written down yet.
struct Done {
    place: Cursor,
    shards: Vec<i32>,
    unwanted: Vec<i64>,
}

/// What becomes of it; never where there is none.
async fn of<T>(work: &mut Option<BoxFuture<'_, T>>) -> T {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// Keeps PostgreSQL from taking the connection for dead.
async fn stay(connection: &AsyncPgConnection) -> Infallible {
    while {
        sleep(ALIVE).await;
        Statement::fixed("SELECT 1").named(Name::of("relay.stay")).load(connection).await.is_ok()
    } {}
    std::future::pending().await
}

/// The keys of a page, as numbers: two that share one wait for each other without need.
fn keys(events: &[Event]) -> HashSet<u64> {
    let keys = events.iter().map(|event| &event.key).filter(|key| !key.is_empty());
    keys.map(|key| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    })
    .collect()
}

impl<B: Broker> Relay<B> {
    /// Relays a run, until it is time for something else. What is in hand then is published and written down before.
    /// What the broker did not take, where it failed.
    pub(super) async fn flow(
        &self,
        connection: &AsyncPgConnection,
        run: &mut Run,
        course: Course,
        stop: &CancellationToken,
    ) -> Result<Option<Unfinished>, Failure> {
        let shards = run.shards.clone();
        // Everything up to here was read.
        let mut tip = run.cursor.clone();
        let (mut reading, mut saving) = (None::<BoxFuture<Result<Page, Failure>>>, None::<BoxFuture<_>>);
        // The page that is published next, and its keys.
        let mut ahead: Option<(Page, HashSet<u64>)> = None;
        let (mut publishing, mut under_way) = (FuturesOrdered::new(), VecDeque::<HashSet<u64>>::new());
        let mut done: Option<Done> = None;
        let (mut failed, mut lost) = (None::<Unfinished>, None::<Failure>);
        // Until then there is nothing to read, unless somebody says so.
        let mut quiet: Option<Instant> = None;
        let mut stay = pin!(stay(connection));
        loop {
            let is_over =
                failed.is_some() || lost.is_some() || stop.is_cancelled() || Instant::now() >= course.due;
            let may_go = |(_, keys): &mut (Page, HashSet<u64>)| {
                !is_over
                    && under_way.len() < self.pages
                    && under_way.iter().all(|other| other.is_disjoint(keys))
            };
            if let Some((page, keys)) = ahead.take_if(may_go) {
                under_way.push_back(keys);
                publishing.push_back(async move {
                    let published = self.broker.publish(&page.events).await;
                    (page, published)
                });
            }
            let is_there = course.bound.as_ref().is_some_and(|bound| tip.is_at_end() && tip.until == *bound);
            if !is_over && !is_there && reading.is_none() && ahead.is_none() && quiet.is_none() {
                let (tip, bound) = (tip.clone(), course.bound.clone());
                reading = Some(Page::read(connection, &shards, tip, bound, self.batch).boxed());
            }
            if saving.is_none()
                && lost.is_none()
                && let Some(Done { place, shards, unwanted }) = done.take()
            {
                let save = async move { outbox::advance(connection, &place, &shards, &unwanted).await };
                saving = Some(save.boxed());
            }
            let is_all_done = reading.is_none() && publishing.is_empty() && saving.is_none();
            if is_all_done && (is_over || ahead.is_none()) {
                if ahead.is_none() && failed.is_none() && lost.is_none() {
                    run.cursor = tip.clone();
                }
                if is_over || is_there || (quiet.is_some() && !course.is_patient) {
                    return lost.map_or(Ok(failed), Err);
                }
            }
            tokio::select! {
                biased;
                Some((page, published)) = publishing.next(), if !publishing.is_empty() => {
                    under_way.pop_front();
                    // What went out behind one that failed is published again, to be in order.
                    if failed.is_none() {
                        let (outcomes, failure) = known(published);
                        failed = failure;
                        self.note(run, &page, &outcomes, &mut done);
                    }
                }
                saved = of(&mut saving) => {
                    saving = None;
                    lost = lost.or(saved.err());
                }
                read = of(&mut reading) => {
                    reading = None;
                    match read {
                        Ok(page) if page.events.is_empty() => {
                            run.unsaved |= page.passed;
                            tip = page.end();
                            quiet = course.bound.is_none().then(|| Instant::now() + self.poll);
                            if publishing.is_empty() {
                                tell_age(&[]);
                            }
                        }
                        Ok(page) => {
                            tell_age(&page.events);
                            tip = page.end();
                            let keys = keys(&page.events);
                            ahead = Some((page, keys));
                        }
                        Err(failure) => lost = Some(failure),
                    }
                }
                () = self.wake.notified(), if quiet.is_some() => quiet = None,
                () = sleep_until(quiet.unwrap_or(course.due).min(course.due)), if !is_over => quiet = None,
                () = stop.cancelled(), if !is_over => {}
                never = &mut stay => match never {},
            }
        }
    }

    /// Takes note of the events that the broker answered for, the first of a page.
    fn note(&self, run: &mut Run, page: &Page, outcomes: &[Outcome], done: &mut Option<Done>) {
        if outcomes.is_empty() {
            return;
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
        let place = page.place(outcomes.len());
        run.cursor = place.clone();
        run.unsaved = true;
        // Only of those shards that had events: of the others there is nothing up to here.
        let mut all = Done { place, shards: page.shards(outcomes.len()), unwanted };
        if let Some(earlier) = done.take() {
            all.shards.extend(earlier.shards);
            all.shards.sort_unstable();
            all.shards.dedup();
            all.unwanted.extend(earlier.unwanted);
        }
        *done = Some(all);
    }
}

/// The outcomes of the first events, up to the first that has none.
fn known(published: Result<Vec<Outcome>, Unfinished>) -> (Vec<Outcome>, Option<Unfinished>) {
    match published {
        Ok(outcomes) => (outcomes, None),
        Err(unfinished) => {
            (unfinished.outcomes.iter().map_while(|outcome| *outcome).collect(), Some(unfinished))
        }
    }
}
