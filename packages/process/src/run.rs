use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_proto::Entity as _;
use artel_proto::Timestamp;
use artel_proto::process::{Saga, SagaState};
use artel_repo::Commit;
use artel_util::{Error, new_id, time};
use bytes::Bytes;
use chrono::TimeDelta;
use tokio::sync::OwnedSemaphorePermit;

use crate::engine::{Inner, is_over};
use crate::mishap::{Mishap, Moment, Point, Way};
use crate::moves::{Move, after};
use crate::outcome::Outcome;
use crate::table::{Kind, Process, Step, Turn};

/// What a record may change.
const RECORDED: [&str; 10] = [
    "state",
    "step",
    "attempts",
    "unsure",
    "holder",
    "lease_time",
    "reason",
    "error",
    "refusal",
    "last_error",
];
/// Between attempts to write a record: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// One saga, worked on here.
pub(crate) struct Run<P: Process> {
    inner: Arc<Inner<P>>,
    call: Call,
    saga: Saga,
    subject: P::Subject,
    /// When the record was begun that holds the lease: from then on it lasts.
    held: Instant,
    /// Who records: tells our own repetition from another's record of the same version.
    mark: Bytes,
}

/// Why a saga is not worked on here any more.
enum Stop {
    /// Somebody else has it, or will.
    Lost,
    /// The commit cannot be made with what the step wanted in it.
    Rejected(Error),
}

impl<P: Process> Run<P> {
    pub fn new(inner: Arc<Inner<P>>, call: Call, saga: Saga, subject: P::Subject, held: Instant) -> Self {
        let mark = new_id().into();
        Self { inner, call, saga, subject, held, mark }
    }

    pub fn id(&self) -> &str {
        &self.saga.id
    }

    /// Takes over a saga that nobody works on, and goes on with it.
    pub async fn adopt(inner: Arc<Inner<P>>, call: Call, saga: Saga) -> Option<Saga> {
        let subject = match inner.process.load(&call, &saga.id).await {
            Ok(subject) => subject,
            Err(error) => {
                tracing::warn!(kind = P::KIND, saga = saga.id, %error, "cannot read what a saga is about");
                return None;
            }
        };
        let hand = inner.hand().await?;
        // Given up in good order, or left by whoever died in the middle of it.
        let died = !saga.holder.is_empty();
        let mut run = Self::new(inner, call, saga, subject, Instant::now());
        if !run.claim().await {
            return None;
        }
        if died {
            metrics::counter!("artel_process_takeovers_total", "kind" => P::KIND).increment(1);
            let (saga, step) = (&run.saga.id, &run.saga.step);
            tracing::warn!(kind = P::KIND, saga, step, "taken over from a process that died");
        }
        run.go(hand).await
    }

    /// Works until the saga has ended, which is what it gives, or until it is not this process' to work on. Whoever waits
    /// for the next attempt leaves the turn to others.
    pub async fn go(mut self, mut hand: OwnedSemaphorePermit) -> Option<Saga> {
        loop {
            if is_over(&self.saga) {
                return Some(self.saga);
            }
            if self.inner.draining.is_cancelled() {
                self.give_up().await;
                return None;
            }
            let point = self.point(Moment::Recorded)?;
            let mishap = self.inner.strikes(&self.saga.id, point).await;
            if mishap == Mishap::Death {
                return None;
            }
            // What is tried now must be over before another copy may begin.
            if self.held.elapsed() + self.inner.rules.step > self.inner.rules.lease && !self.renew().await {
                return None;
            }
            let outcome = match mishap.before() {
                Some(outcome) => outcome,
                None => self.attempt().await?,
            };
            let mishap = self.inner.strikes(&self.saga.id, Point { moment: Moment::Effected, ..point }).await;
            if mishap == Mishap::Death {
                return None;
            }
            let pause = self.settle(mishap.after(outcome)).await?;
            if is_over(&self.saga) {
                let ended = Point { moment: Moment::Ended, ..point };
                if self.inner.strikes(&self.saga.id, ended).await == Mishap::Death {
                    return None;
                }
            }
            if let Some(pause) = pause {
                let chance = rand::random_range(0.5..1.0);
                drop(hand);
                let waited = tokio::time::sleep(pause.mul_f64(chance));
                self.inner.draining.run_until_cancelled(waited).await?;
                hand = self.inner.hand().await?;
                if !self.claim().await {
                    return None;
                }
            }
        }
    }

    /// Tries the step, or undoes it: looked up first where nobody knows whether it was done.
    async fn attempt(&self) -> Option<Outcome<P>> {
        let step = self.step()?;
        let (way, begun) = (self.way(), Instant::now());
        let work = async {
            if way == Way::Back {
                return match &step.undo {
                    Some(undo) => undo(Arc::clone(&self.inner.process), self.turn(step)).await,
                    None => Outcome::Done(self.subject.clone(), Commit::new()),
                };
            }
            if let Some(look_up) = &step.look_up
                && self.saga.unsure
                && self.inner.rules.looks_up()
            {
                match look_up(Arc::clone(&self.inner.process), self.turn(step)).await {
                    Outcome::NotDone(_) => {}
                    known => return known,
                }
            }
            (step.action)(Arc::clone(&self.inner.process), self.turn(step)).await
        };
        let most = self.inner.rules.step;
        let outcome = match tokio::time::timeout(most, work).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let text = format!("{} was not answered within {most:?}. Try again.", step.name);
                Outcome::Unknown(Error::unavailable("STEP_TIMEOUT", text))
            }
        };
        let (name, way) = (step.name, if way == Way::Back { "back" } else { "forward" });
        metrics::histogram!("artel_process_step_seconds", "kind" => P::KIND, "step" => name, "way" => way)
            .record(begun.elapsed());
        metrics::counter!(
            "artel_process_steps_total",
            "kind" => P::KIND, "step" => name, "way" => way, "outcome" => outcome.word(),
        )
        .increment(1);
        tracing::debug!(kind = P::KIND, saga = self.saga.id, step = name, way, ?outcome, "a step was tried");
        Some(outcome)
    }

    /// Records what came out, and how long to wait before the step is tried again; `None` where the saga is lost.
    async fn settle(&mut self, outcome: Outcome<P>) -> Option<Option<Duration>> {
        let inner = Arc::clone(&self.inner);
        let next = after(&inner.table, &self.saga, &self.subject, outcome, &inner.rules);
        let next = match self.record(next).await {
            Ok(pause) => return Some(pause),
            Err(Stop::Lost) => return None,
            Err(Stop::Rejected(error)) => {
                after(&inner.table, &self.saga, &self.subject, Outcome::Unknown(error), &inner.rules)
            }
        };
        self.record(next).await.ok()
    }

    async fn record(&mut self, next: Move<P>) -> Result<Option<Duration>, Stop> {
        let Move { mut saga, subject, mut commit, pause } = next;
        let (rules, begun) = (&self.inner.rules, Instant::now());
        match pause {
            Some(pause) => {
                saga.holder.clear();
                saga.lease_time = Some(lease_from_now(pause));
                self.tell_if_stuck();
            }
            None if is_over(&saga) => {
                saga.holder.clear();
                saga.lease_time = None;
                commit = self.inner.process.end(&saga, &subject, commit);
            }
            None => {
                saga.holder.clone_from(&self.inner.holder);
                saga.lease_time = Some(lease_from_now(rules.lease));
            }
        }
        self.write(saga, commit).await?;
        (self.subject, self.held) = (subject, begun);
        if is_over(&self.saga) {
            let outcome = if self.saga.state() == SagaState::Done { "done" } else { "undone" };
            metrics::counter!("artel_process_sagas_total", "kind" => P::KIND, "outcome" => outcome)
                .increment(1);
            tracing::info!(
                kind = P::KIND,
                saga = self.saga.id,
                outcome,
                reason = self.saga.reason,
                "a saga ended"
            );
        }
        Ok(pause)
    }

    /// Takes the step on once more, alone.
    async fn claim(&mut self) -> bool {
        let mut saga = self.saga.clone();
        saga.attempts = saga.attempts.saturating_add(1);
        // Who had it and did not say what became of it may have done it.
        saga.unsure = saga.unsure || !saga.holder.is_empty();
        self.hold(saga).await
    }

    /// Makes the lease last from now on.
    async fn renew(&mut self) -> bool {
        self.hold(self.saga.clone()).await
    }

    async fn hold(&mut self, mut saga: Saga) -> bool {
        let begun = Instant::now();
        saga.holder.clone_from(&self.inner.holder);
        saga.lease_time = Some(lease_from_now(self.inner.rules.lease));
        let held = self.write(saga, Commit::new()).await.is_ok();
        self.held = begun;
        held
    }

    /// Leaves the saga to whoever comes next.
    async fn give_up(&mut self) {
        let mut saga = self.saga.clone();
        saga.holder.clear();
        saga.lease_time = Some(time::now());
        if self.write(saga, Commit::new()).await.is_ok() {
            tracing::info!(
                kind = P::KIND,
                saga = self.saga.id,
                step = self.saga.step,
                "left to another copy"
            );
        }
    }

    /// Writes the row, if it is as we left it. While `persist` is away it is tried for as long as the lease lasts.
    async fn write(&mut self, mut saga: Saga, commit: Commit) -> Result<(), Stop> {
        let version = self.saga.version;
        let mut commit = commit.update(&saga, &RECORDED);
        if self.inner.rules.is_fenced() {
            commit = commit.expect_version(version).once(
                format!("saga/{}/{version}", saga.id),
                self.mark.clone(),
                Bytes::new(),
            );
        }
        let (begun, mut pause) = (Instant::now(), PAUSE.0);
        let error = loop {
            let most = self.inner.rules.lease.saturating_sub(begun.elapsed());
            let call = Call { deadline: Instant::now().checked_add(most), ..self.call.clone() };
            match self.inner.repo.commit(&call, commit.clone()).await {
                Ok(_) => {
                    saga.version = version + 1;
                    self.saga = saga;
                    return Ok(());
                }
                Err(error) if is_lost(&error) => break error,
                Err(error) if !error.is_transient() => {
                    tracing::error!(kind = P::KIND, saga = saga.id, step = saga.step, %error, "cannot be recorded");
                    return Err(Stop::Rejected(error));
                }
                Err(error) if begun.elapsed() + pause >= self.inner.rules.lease => break error,
                Err(error) => {
                    tracing::warn!(kind = P::KIND, saga = saga.id, %error, "cannot record a step yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        };
        tracing::info!(kind = P::KIND, saga = saga.id, step = saga.step, %error, "not ours to work on any more");
        Err(Stop::Lost)
    }

    fn turn(&self, step: &Step<P>) -> Turn<P> {
        let deadline = Instant::now().checked_add(self.inner.rules.step);
        Turn {
            call: Call { deadline, ..self.call.clone() },
            subject: self.subject.clone(),
            key: format!("{}/{}", self.saga.id, step.name),
            attempt: self.saga.attempts,
        }
    }

    /// The step that is under way; `None`, and said, where the table has none of that name any more.
    fn step(&self) -> Option<&Step<P>> {
        let step = self.inner.table.find(&self.saga.step);
        if step.is_none() {
            tracing::error!(
                kind = P::KIND,
                saga = self.saga.id,
                step = self.saga.step,
                "there is no such step"
            );
        }
        step
    }

    fn point(&self, moment: Moment) -> Option<Point> {
        Some(Point { step: self.step()?.name, way: self.way(), moment })
    }

    fn way(&self) -> Way {
        if self.saga.state() == SagaState::Undoing { Way::Back } else { Way::Forward }
    }

    fn tell_if_stuck(&self) {
        let has_to = self.way() == Way::Back || self.step().is_some_and(|step| step.kind == Kind::Forward);
        if has_to && self.saga.attempts >= self.inner.rules.stuck_after {
            let Saga { id, step, attempts, last_error, .. } = &self.saga;
            tracing::error!(kind = P::KIND, saga = id, step, attempts, last_error, "a saga is stuck");
            metrics::counter!("artel_process_stuck_total", "kind" => P::KIND, "step" => step.clone())
                .increment(1);
        }
    }
}

pub(crate) fn lease_from_now(lease: Duration) -> Timestamp {
    time::after(TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX))
}

/// True where the row is not as it was left.
fn is_lost(error: &Error) -> bool {
    match error.reason() {
        "IDEMPOTENCY_KEY_REUSED" => true,
        "PRECONDITION_FAILED" | "ROW_NOT_FOUND" => error.get("entity") == Some(Saga::NAME),
        _ => false,
    }
}
