use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use artel_client::{Call, User};
use artel_proto::persist::Operator;
use artel_proto::process::{Saga, SagaState};
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::{Error, new_id, now};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

use crate::mishap::{Mishap, Mishaps, Moment, Point, Way};
use crate::rules::Rules;
use crate::run::{Run, lease_from_now};
use crate::table::{Process, Table};

/// Between looks at a saga that another copy works on: from, up to.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// As many sagas as one look takes on.
const AT_ONCE: i32 = 200;

/// Runs the sagas of one kind: those begun here, and those whose process died. Cheap to clone.
pub struct Engine<P: Process>(Arc<Inner<P>>);

pub(crate) struct Inner<P: Process> {
    pub process: Arc<P>,
    pub table: Table<P>,
    pub repo: Repo,
    pub rules: Rules,
    /// Who this is, as it stands in the rows: unlike any other process.
    pub holder: String,
    pub draining: CancellationToken,
    mishaps: Option<Arc<dyn Mishaps>>,
    /// The service, for calls of its own.
    service: String,
    runners: TaskTracker,
    /// What runs here, and how it ended.
    here: Mutex<HashMap<String, watch::Sender<Option<Saga>>>>,
    room: Arc<Semaphore>,
    /// One for each saga that is worked on now.
    pub hands: Arc<Semaphore>,
}

/// A saga to begin.
pub struct Begin<S> {
    /// Its id: a new one, that of what it is about.
    pub id: String,
    /// What it is about.
    pub subject: S,
    /// What is written with the first record: the rows it is about.
    pub commit: Commit,
    /// It is begun once for this key.
    pub key: String,
    /// Tells a repetition from another request under the same key.
    pub digest: Bytes,
}

impl<P: Process> Clone for Engine<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P: Process> Engine<P> {
    /// An engine of a copy of this service. It stops between steps when `draining` is cancelled.
    #[must_use]
    pub fn new(service: &str, process: P, repo: Repo, rules: Rules, draining: CancellationToken) -> Self {
        let (room, hands) = (Semaphore::new(rules.takeovers), Semaphore::new(rules.at_once));
        Self(Arc::new(Inner {
            process: Arc::new(process),
            table: P::table(),
            repo,
            rules,
            holder: format!("{service}/{}/{}", std::process::id(), new_id()),
            draining,
            mishaps: None,
            service: service.to_owned(),
            runners: TaskTracker::new(),
            here: Mutex::default(),
            room: Arc::new(room),
            hands: Arc::new(hands),
        }))
    }

    /// The same with what may befall it, for tests. Only before anything was begun.
    #[must_use]
    pub fn with_mishaps(mut self, mishaps: Arc<dyn Mishaps>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.mishaps = Some(mishaps);
        }
        self
    }

    /// The steps.
    #[must_use]
    pub fn table(&self) -> &Table<P> {
        &self.0.table
    }

    /// What the steps are done with.
    #[must_use]
    pub fn process(&self) -> &P {
        &self.0.process
    }

    /// Begins a saga: it goes on by itself, whether or not the caller waits. Gives its id, or that of the one which was
    /// begun with the same key.
    ///
    /// # Errors
    /// What `persist` says of the commit; `IDEMPOTENCY_KEY_REUSED` where the key belongs to another request;
    /// RESOURCE_EXHAUSTED (`BUSY`) where so many are under way that the call's time was over before its turn.
    pub async fn begin(&self, call: &Call, begin: Begin<P::Subject>) -> Result<String, Error> {
        let Begin { id, subject, commit, key, digest } = begin;
        let inner = &self.0;
        let Some(first) = inner.table.onward(0, &subject) else {
            return Err(Error::internal(format!("{} has no steps to take", P::KIND)));
        };
        let point = Point { step: first.name, way: Way::Forward, moment: Moment::Unrecorded };
        if inner.strikes(&id, point).await == Mishap::Death {
            return Err(Error::unavailable("PROCESS_DIED", "The process died."));
        }
        // Before the first record: who waits holds no lease.
        let turn = tokio::time::timeout(call.time_left(Duration::MAX), inner.hand()).await;
        let hand = turn.ok().flatten().ok_or_else(busy)?;
        let held = std::time::Instant::now();
        let mut saga = Saga {
            id: id.clone(),
            kind: P::KIND.to_owned(),
            step: first.name.to_owned(),
            attempts: 1,
            holder: inner.holder.clone(),
            lease_time: Some(lease_from_now(inner.rules.lease)),
            user_id: call.user.as_ref().map(|user| user.id.clone()).unwrap_or_default(),
            ..Saga::default()
        };
        saga.set_state(SagaState::Running);
        let commit = commit.insert(&saga).once(key, digest, id.clone());
        let committed = inner.repo.commit(call, commit).await?;
        let begun = String::from_utf8_lossy(&committed.answer).into_owned();
        // Where the answer was lost and the commit sent again, it is a repetition of our own.
        if !committed.replayed || begun == id {
            saga.version = 1;
            let call = Call { deadline: None, ..call.clone() };
            self.spawn(Run::new(Arc::clone(inner), call, saga, subject, held), hand);
            return Ok(id);
        }
        Ok(begun)
    }

    /// Waits until a saga has ended, wherever it runs; the saga goes on if the caller stops waiting.
    ///
    /// # Errors
    /// NOT_FOUND (`SAGA_NOT_FOUND`); DEADLINE_EXCEEDED (`STILL_UNDER_WAY`) when the call's time is over; what `persist` says.
    pub async fn wait(&self, call: &Call, id: &str) -> Result<Saga, Error> {
        let mut pause = LOOK.0;
        loop {
            let ending = self.0.here().get(id).map(watch::Sender::subscribe);
            if let Some(mut ending) = ending {
                let ended = ending.wait_for(Option::is_some);
                match tokio::time::timeout(call.time_left(Duration::MAX), ended).await {
                    Ok(Ok(saga)) => return saga.clone().ok_or_else(still_under_way),
                    // It is not run here any more.
                    Ok(Err(_)) => {}
                    Err(_) => return Err(still_under_way()),
                }
            }
            match self.0.repo.get::<Saga>(call, id).await {
                Ok(Some(saga)) if is_over(&saga) => return Ok(saga),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Error::not_found("SAGA_NOT_FOUND", "There is no such saga.")),
                Err(error) if error.is_transient() && call.time_left(Duration::MAX) > pause => {}
                Err(error) => return Err(error),
            }
            if call.time_left(Duration::MAX) <= pause {
                return Err(still_under_way());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK.1);
        }
    }

    /// Takes over what nobody works on, in whatever workspace: to be done about every second by each copy.
    ///
    /// # Errors
    /// What `persist` says.
    pub async fn take_over(&self, call: &Call) -> Result<(), Error> {
        if self.0.draining.is_cancelled() {
            return Ok(());
        }
        for workspace in self.0.repo.workspaces::<Saga>(call, due::<P>()).await? {
            self.take_over_in(&Call { workspace, ..call.clone() }).await?;
        }
        Ok(())
    }

    /// The same in the call's workspace.
    pub(crate) async fn take_over_in(&self, call: &Call) -> Result<(), Error> {
        let query = due::<P>().order("lease_time", Direction::Ascending).page(AT_ONCE, "");
        for saga in self.0.repo.query::<Saga>(call, query).await?.items {
            if self.0.here().contains_key(&saga.id) {
                continue;
            }
            let Ok(permit) = Arc::clone(&self.0.room).try_acquire_owned() else { break };
            self.adopt(&call.workspace, saga, permit);
        }
        Ok(())
    }

    /// Waits until everything that runs here has stopped between two steps and given its lease up; to be done as the
    /// service drains.
    pub async fn drain(self, draining: CancellationToken) {
        draining.cancelled().await;
        self.0.runners.close();
        self.0.runners.wait().await;
    }

    fn adopt(&self, workspace: &str, saga: Saga, permit: OwnedSemaphorePermit) {
        let inner = Arc::clone(&self.0);
        let mut call = Call::by_service(&inner.service, workspace);
        if !saga.user_id.is_empty() {
            call.user = Some(User { id: saga.user_id.clone(), roles: Vec::new(), locale: String::new() });
        }
        let here = Here::enter(&inner, &saga.id);
        self.0.runners.spawn(async move {
            let _permit = permit;
            here.leave(Run::adopt(inner, call, saga).await);
        });
    }

    fn spawn(&self, run: Run<P>, hand: OwnedSemaphorePermit) {
        let here = Here::enter(&self.0, run.id());
        self.0.runners.spawn(async move { here.leave(run.go(hand).await) });
    }
}

impl<P: Process> Inner<P> {
    pub(crate) async fn strikes(&self, saga: &str, point: Point) -> Mishap {
        match &self.mishaps {
            Some(mishaps) => mishaps.strikes(saga, point).await,
            None => Mishap::Nothing,
        }
    }

    /// The turn to work on a saga; `None` where the process drains.
    pub(crate) async fn hand(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.hands).acquire_owned();
        self.draining.run_until_cancelled(turn).await?.ok()
    }

    fn here(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Option<Saga>>>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a saga runs here, for as long as it does.
struct Here<P: Process> {
    inner: Arc<Inner<P>>,
    id: String,
}

impl<P: Process> Here<P> {
    fn enter(inner: &Arc<Inner<P>>, id: &str) -> Self {
        inner.here().insert(id.to_owned(), watch::Sender::new(None));
        Self { inner: Arc::clone(inner), id: id.to_owned() }
    }

    /// Tells who waits how it ended; `None` where it did not end here.
    fn leave(self, ended: Option<Saga>) {
        if ended.is_some()
            && let Some(ending) = self.inner.here().get(&self.id)
        {
            ending.send_replace(ended);
        }
    }
}

impl<P: Process> Drop for Here<P> {
    fn drop(&mut self) {
        self.inner.here().remove(&self.id);
    }
}

pub(crate) fn is_over(saga: &Saga) -> bool {
    matches!(saga.state(), SagaState::Done | SagaState::Undone)
}

/// What is to be worked on, and nobody does.
fn due<P: Process>() -> Query {
    let over = Filter::compare("lease_time", Operator::LessOrEqual, [now().into()]);
    Query::new().equal("kind", P::KIND).filter(over)
}

fn busy() -> Error {
    Error::new(
        Code::ResourceExhausted,
        "BUSY",
        "Too much is under way at once; nothing was done. Ask again in a moment.",
    )
}

fn still_under_way() -> Error {
    Error::new(
        Code::DeadlineExceeded,
        "STILL_UNDER_WAY",
        "It is still under way and goes on. Ask again with the same key.",
    )
}
