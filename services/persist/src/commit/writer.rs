//! Writers take groups from the queue and see to it that each commit is answered, whatever happens to its group.
//!
//! Who comes while the rows of a group are read may join it. A group that fails for a reason that one of its commits has
//! brought with it is done in halves, down to the one. Of a group that finds a row locked from outside, one commit waits
//! for the row, aside; others that touch it stay in the line until then, and the rest goes on. A group whose answer was
//! lost is asked after, aside too.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_util::Error;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use rand::RngExt as _;
use tokio::sync::Semaphore;

use super::attempt::{Aborted, Attempt, Outcome, Stage};
use super::join::Joins;
use super::member::{Claim, Member, Verdict};
use super::queue::{Bounds, Group, Mark, Queue};
use super::refusal::{self, Place};
use super::text::Texts;
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::plan::Plans;
use crate::relay::Wake;

/// How often a group is tried again after a deadlock or a serialization failure.
const MOST_CONFLICTS: u32 = 8;
/// For how long the outcome of a group whose connection was lost is looked for.
const RESOLVE: Duration = Duration::from_secs(20);

/// What writers work with.
pub(super) struct Writers {
    pub(super) database: Database,
    pub(super) plans: Arc<Plans>,
    /// The longest a statement may take.
    pub(super) time: Duration,
    pub(super) queue: Queue,
    lock: Duration,
    texts: Texts,
    /// Room for commits that wait aside.
    aside: Semaphore,
    /// Wakes the relay.
    wake: Arc<Wake>,
}

/// Where a group is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In its workspace's line: others wait behind it.
    Line,
    /// Nobody waits for it but its callers.
    Aside,
}

/// A group that was sent to be committed when its connection was lost.
struct Unsure {
    since: Instant,
    /// What became of its members if it was committed.
    verdicts: Vec<Verdict>,
}

/// What is still to be done of a group.
enum Next {
    Nothing,
    /// In two halves, one after the other.
    Halves(Vec<Member>),
    /// Without those that touch a row that is locked.
    Locked(Vec<Member>),
    /// Find out whether it was committed, aside.
    Resolve(Vec<Member>, Unsure),
}

impl Writers {
    pub(super) fn new(
        database: Database,
        plans: Arc<Plans>,
        time: Duration,
        bounds: Bounds,
        wake: Arc<Wake>,
    ) -> Self {
        let aside = Semaphore::new(bounds.aside.max(1));
        let (queue, texts) = (Queue::new(bounds), Texts::default());
        Self { database, plans, time, queue, lock: bounds.lock, texts, aside, wake }
    }

    /// Takes group after group until nothing waits any more.
    pub(super) async fn serve(self: Arc<Self>) {
        while let Some(group) = self.queue.take() {
            let Group { members, mark } = group;
            let work = Arc::clone(&self).work(members, Where::Line, None, Some(mark));
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!("a group of commits ended in a panic");
            }
            self.queue.done(mark);
            // Callers that were answered just now may have their next commit ready: it joins the next group.
            tokio::task::yield_now().await;
        }
    }

    fn work(
        self: Arc<Self>,
        members: Vec<Member>,
        place: Where,
        mut unsure: Option<Unsure>,
        mut joins: Option<Mark>,
    ) -> BoxFuture<'static, ()> {
        async move {
            let mut todo = vec![members];
            while let Some(group) = todo.pop() {
                match self.settle(group, place, unsure.take(), joins.take()).await {
                    Next::Nothing => {}
                    Next::Halves(mut first) => {
                        fell_apart("halves");
                        let second = first.split_off(first.len() / 2);
                        todo.extend([second, first]);
                    }
                    Next::Locked(members) => {
                        fell_apart("lock");
                        todo.extend(Arc::clone(&self).part(members).await);
                    }
                    Next::Resolve(members, unsure) => {
                        self.queue.hold(&members);
                        let writers = Arc::clone(&self);
                        tokio::spawn(async move {
                            let sizes = members.iter().map(|member| member.size).collect::<Vec<_>>();
                            Arc::clone(&writers).work(members, Where::Aside, Some(unsure), None).await;
                            writers.queue.let_go(sizes);
                        });
                    }
                }
            }
        }
        .boxed()
    }

    /// Parts those that touch locked rows from those that do not, which are given back.
    async fn part(self: Arc<Self>, members: Vec<Member>) -> Option<Vec<Member>> {
        let scope = self.scope(&members, false)?;
        let Self { database, plans, texts, lock, .. } = &*self;
        let attempt =
            Attempt { database, plans, texts, scope, lock: *lock, members: &members, reads_all: false };
        let locked = match attempt.locked().await {
            Ok(locked) => locked,
            Err(failure) => {
                tracing::warn!(?failure, "which rows are locked could not be found out");
                members.iter().flat_map(Member::rows).collect()
            }
        };
        let (mut free, mut later) = (Vec::new(), Vec::new());
        let mut waited_for: HashSet<Claim> = HashSet::new();
        for member in members {
            let mut rows: Vec<Claim> = member.rows().filter(|row| locked.contains(row)).collect();
            rows.sort_unstable();
            rows.dedup();
            if rows.is_empty() {
                free.push(member);
            } else if rows.iter().any(|row| waited_for.contains(row)) {
                later.push(member);
            } else {
                waited_for.extend(&rows);
                self.queue.stick(&rows);
                self.queue.hold(std::slice::from_ref(&member));
                tokio::spawn(Arc::clone(&self).alone(member, rows));
            }
        }
        self.queue.put_back(later);
        Some(free)
    }

    /// Does a commit alone, aside, which may wait for these rows until its time is up.
    async fn alone(self: Arc<Self>, member: Member, rows: Vec<Claim>) {
        let size = member.size;
        let left = Scope::new(&member.caller, member.caller.deadline, self.time).time;
        match tokio::time::timeout(left, self.aside.acquire()).await {
            Ok(_room) => Arc::clone(&self).work(vec![member], Where::Aside, None, None).await,
            Err(_) => member.tell(Err(Failure::Timeout.into())),
        }
        self.queue.let_go([size]);
        if self.queue.unstick(&rows) {
            tokio::spawn(self.serve());
        }
    }

    /// Tries a group until it is answered or has to be done in another way. Others may join its first attempt.
    async fn settle(
        &self,
        mut members: Vec<Member>,
        place: Where,
        mut unsure: Option<Unsure>,
        mut joins: Option<Mark>,
    ) -> Next {
        let (mut conflicts, mut lost, mut reads_all) = (0, None::<Instant>, false);
        loop {
            if unsure.is_none() {
                members = tell_late(members);
            }
            let Some(scope) = self.scope(&members, unsure.is_some()) else { return Next::Nothing };
            let lock = if place == Where::Aside && members.len() == 1 { Duration::ZERO } else { self.lock };
            let Self { database, plans, texts, .. } = self;
            let mut late = Vec::new();
            let joins = joins.take().map(|mark| Joins { queue: &self.queue, mark });
            let attempt = Attempt { database, plans, texts, scope, lock, members: &members, reads_all };
            let ended = attempt.run(joins, &mut late).await;
            members.extend(late);
            let is_alone = members.len() == 1;
            let Aborted { failure, stage } = match ended {
                Ok(Outcome::Done(verdicts)) => {
                    self.tell(members, verdicts);
                    return Next::Nothing;
                }
                Ok(Outcome::WasDone) => {
                    metrics::counter!("artel_persist_commits_resolved_total").increment(members.len() as u64);
                    let verdicts = unsure.map(|unsure| unsure.verdicts).unwrap_or_default();
                    self.tell(members, verdicts);
                    return Next::Nothing;
                }
                Err(aborted) => aborted,
            };
            match stage {
                Stage::Sent(verdicts) => {
                    // Nobody knows what became of it: the keys find out, or it is done now.
                    let since = unsure.map_or_else(Instant::now, |unsure| unsure.since);
                    let now_unsure = Unsure { since, verdicts };
                    if place == Where::Line {
                        return Next::Resolve(members, now_unsure);
                    }
                    unsure = Some(now_unsure);
                    continue;
                }
                Stage::Keys => {
                    if let Some(Unsure { since, .. }) = unsure {
                        if since.elapsed() > RESOLVE {
                            tell_all(members, || unresolved(&failure));
                            return Next::Nothing;
                        }
                        wait(since).await;
                        continue;
                    }
                }
                // The keys were taken anew, so what was sent before was not done.
                Stage::Rows | Stage::Writes(_) => unsure = None,
            }
            match failure {
                Failure::Conflict if conflicts < MOST_CONFLICTS => {
                    conflicts += 1;
                    metrics::counter!("artel_persist_commit_conflicts_total").increment(1);
                    let jitter = rand::rng().random_range(1..=4_u64 << conflicts.min(6));
                    tokio::time::sleep(Duration::from_millis(jitter)).await;
                }
                // Is there the row that was to be inserted? What else is wrong with the commit is told first.
                Failure::Unique { .. } if is_alone && !reads_all => reads_all = true,
                // It was not; another process inserted it in between.
                Failure::Unique { index }
                    if is_alone && conflicts < MOST_CONFLICTS && is_key(&stage, &index) =>
                {
                    conflicts += 1;
                    metrics::counter!("artel_persist_commit_conflicts_total").increment(1);
                }
                Failure::Locked => return Next::Locked(members),
                // The others go on without those whose time is up.
                Failure::Timeout if members.iter().any(|member| member.is_late(Instant::now())) => {}
                // Nothing was sent to be committed.
                Failure::Lost(cause) => {
                    let since = *lost.get_or_insert_with(Instant::now);
                    if since.elapsed() > RESOLVE {
                        tell_all(members, || Failure::Lost(cause.clone()).into());
                        return Next::Nothing;
                    }
                    wait(since).await;
                }
                Failure::Away(cause) => {
                    tell_all(members, || Failure::Away(cause.clone()).into());
                    return Next::Nothing;
                }
                Failure::Busy => {
                    tell_all(members, || Failure::Busy.into());
                    return Next::Nothing;
                }
                _ if !is_alone => return Next::Halves(members),
                failure => {
                    if let Some(member) = members.pop() {
                        let at = Place { database, scope, plans, batch: &member.batch };
                        let error = refusal::error(at, failure, &stage).await;
                        member.tell(Err(error));
                    }
                    return Next::Nothing;
                }
            }
        }
    }

    /// The scope of a group's next attempt; `None` where nobody is left. No statement takes longer than the shortest
    /// time that is left. Finding out what became of a group goes on when its callers' time is up: the answer may still
    /// reach one that waits longer than it said.
    fn scope(&self, members: &[Member], unsure: bool) -> Option<Scope> {
        let first = members.first()?;
        let deadlines = members.iter().filter_map(|member| member.caller.deadline);
        let deadline = deadlines.min().filter(|_| !unsure);
        Some(Scope::new(&first.caller, deadline, self.time))
    }

    fn tell(&self, members: Vec<Member>, verdicts: Vec<Verdict>) {
        metrics::histogram!("artel_persist_group_commits").record(members.len() as f64);
        let tells = |(member, verdict): (&Member, &Verdict)| {
            !member.batch.events.is_empty() && matches!(verdict, Ok(answer) if !answer.replayed)
        };
        if members.iter().zip(&verdicts).any(tells) {
            self.wake.notify_one();
        }
        for (member, verdict) in members.into_iter().zip(verdicts) {
            member.tell(verdict);
        }
    }
}

/// Answers those whose time is up; the others remain.
fn tell_late(members: Vec<Member>) -> Vec<Member> {
    let now = Instant::now();
    let (late, others) = members.into_iter().partition(|member| member.is_late(now));
    tell_all(late, || Failure::Timeout.into());
    others
}

fn tell_all(members: Vec<Member>, error: impl Fn() -> Error) {
    members.into_iter().for_each(|member| member.tell(Err(error())));
}

fn unresolved(failure: &Failure) -> Error {
    Error::unavailable(
        "COMMIT_UNRESOLVED",
        "The database was lost while it committed, and stays away. Send the same commit with the same key again.",
    )
    .caused_by(format!("{failure:?}"))
}

fn is_key(stage: &Stage, index: &str) -> bool {
    matches!(stage, Stage::Writes(entity) if index.strip_suffix("_pkey") == Some(&entity.table))
}

async fn wait(since: Instant) {
    let wait = (since.elapsed() / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
    tokio::time::sleep(wait).await;
}

fn fell_apart(how: &'static str) {
    metrics::counter!("artel_persist_groups_split_total", "how" => how).increment(1);
}
