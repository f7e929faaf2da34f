//! Sheds load early. What waits inside a handler, for a connection, a processor or another service, is no queue that
//! could be looked at, but its length is known all the same (Little's law): calls in hand = rate of answers × latency.
//! So each method is measured, and while its latency is past what it usually takes, it gets no more calls at once than
//! it answers in good time. The others are refused before anything is spent on them. So are those that waited too long
//! for a processor before anybody looked at them ([`Lag`]).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use artel_client::{Call, OVERLOADED};
use artel_util::Error;
use tokio::time::Instant;
use tonic::Code;

use crate::lag::{self, Lag};

/// How often a method is looked at while calls come.
const WINDOW: Duration = Duration::from_millis(50);
/// Calls after which what a method usually takes has forgotten two thirds of what was before.
const MEMORY: f64 = 500.0;
/// The service name of an operator's commands.
const OPERATOR: &str = "operator";

/// How much a service takes on, from the section `[mesh]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Calls in hand at once, over all methods, however fast they are answered.
    pub(crate) most: usize,
    /// Open streams at once.
    pub(crate) streams: usize,
    /// Calls of a method that are taken on at once however slow it is.
    pub(crate) least: usize,
    /// A latency that is no sign of overload, whatever is usual.
    pub(crate) latency: Duration,
    /// How many times what is usual a latency may be.
    pub(crate) factor: f64,
    /// The share of all that work from outside may take up; the rest is for work that was let in already.
    pub(crate) edge: f64,
}

/// Who is let in first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// An operator: never refused.
    Operator,
    /// Another service: what it asks for is part of work that was let in already.
    Inside,
    /// New work, from outside the mesh.
    Edge,
}

impl Class {
    /// Who makes the call that another service signed.
    pub(crate) fn of(call: &Call) -> Self {
        match call.service.as_str() {
            OPERATOR => Self::Operator,
            "" => Self::Edge,
            _ => Self::Inside,
        }
    }

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Inside => "inside",
            Self::Edge => "edge",
        }
    }
}

/// What a service has in hand.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    lag: Arc<Lag>,
    calls: AtomicUsize,
    streams: AtomicUsize,
}

impl Admission {
    /// Must be called within a tokio runtime.
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        let (lag, calls, streams) = (Lag::measured(), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { bounds, lag, calls, streams })
    }

    /// Lets a call in until its permit is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where it would only wait.
    pub(crate) fn enter<'a>(
        &'a self,
        lane: &'a Lane,
        class: Class,
        arrived: Instant,
    ) -> Result<Permit<'a>, Error> {
        let begun = nanos(arrived);
        if self.lag.at(begun) > self.most_lag(class) {
            return Err(self.overloaded());
        }
        let mut flow = lane.flow();
        if begun >= flow.since + as_nanos(WINDOW) {
            flow.look(&self.bounds, begun);
        }
        let all = self.calls.fetch_add(1, Ordering::Relaxed);
        // New work gets what others leave of it.
        let before = if class == Class::Edge { flow.in_hand } else { flow.inside };
        if all >= self.share(self.bounds.most, class) || before >= self.share(flow.limit, class) {
            self.calls.fetch_sub(1, Ordering::Relaxed);
            drop(flow);
            return Err(self.overloaded());
        }
        flow.in_hand += 1;
        flow.inside += usize::from(class == Class::Inside);
        flow.peak = flow.peak.max(flow.in_hand);
        flow.begun = flow.begun.wrapping_add(begun);
        drop(flow);
        Ok(Permit { admission: self, lane, class, begun, answered: false })
    }

    /// Lets a stream in until its permit is dropped.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED where there are too many.
    pub(crate) fn open(self: &Arc<Self>, class: Class) -> Result<Stream, Error> {
        if self.streams.fetch_add(1, Ordering::Relaxed) >= self.share(self.bounds.streams, class) {
            self.streams.fetch_sub(1, Ordering::Relaxed);
            return Err(self.overloaded());
        }
        Ok(Stream(Arc::clone(self)))
    }

    fn share(&self, of: usize, class: Class) -> usize {
        match class {
            Class::Operator => usize::MAX,
            Class::Inside => of,
            Class::Edge => (of as f64 * self.bounds.edge).ceil() as usize,
        }
    }

    /// New work is the first that is not begun where all work is late.
    fn most_lag(&self, class: Class) -> Duration {
        let most = self.bounds.latency.max(lag::EVERY);
        match class {
            Class::Operator => Duration::MAX,
            Class::Inside => most * 2,
            Class::Edge => most,
        }
    }

    fn overloaded(&self) -> Error {
        // Not all at the same moment.
        let wait = self.bounds.latency.mul_f64(rand::random_range(1.0..3.0));
        Error::new(
            Code::ResourceExhausted,
            OVERLOADED,
            "There are more calls than can be answered in time; nothing was done. Try again in a moment.",
        )
        .retry_after(wait)
    }
}

/// A call in hand.
#[derive(Debug)]
pub(crate) struct Permit<'a> {
    admission: &'a Admission,
    lane: &'a Lane,
    class: Class,
    begun: u64,
    answered: bool,
}

impl Permit<'_> {
    /// It was answered, not cut off: the method did a piece of work.
    pub(crate) fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.admission.calls.fetch_sub(1, Ordering::Relaxed);
        let now = nanos(Instant::now());
        let mut flow = self.lane.flow();
        flow.in_hand -= 1;
        flow.inside -= usize::from(self.class == Class::Inside);
        flow.begun = flow.begun.wrapping_sub(self.begun);
        flow.ended += 1;
        flow.took += now.saturating_sub(self.begun);
        flow.answered += u64::from(self.answered);
    }
}

/// An open stream.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Admission>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One method's calls.
#[derive(Debug)]
pub(crate) struct Lane(Mutex<Flow>);

impl Lane {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self(Mutex::new(Flow { limit: bounds.most, since: nanos(Instant::now()), ..Flow::default() }))
    }

    /// How many calls it takes on at once just now.
    pub(crate) fn limit(&self) -> usize {
        self.flow().limit
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is measured of a method. Times are in nanoseconds.
#[derive(Debug, Default)]
struct Flow {
    limit: usize,
    in_hand: usize,
    /// Those of them that other services asked for.
    inside: usize,
    /// The sum of the moments when those in hand began.
    begun: u64,
    /// When this window began, and since then: most calls at once, calls that ended, their time, calls that were
    /// answered.
    since: u64,
    peak: usize,
    ended: u64,
    took: u64,
    answered: u64,
    /// Answers a second, lately.
    rate: f64,
    /// Seconds that a call takes when there are few, and how many calls say so.
    usual: f64,
    known: f64,
}

impl Flow {
    /// Ends a window and draws the conclusions.
    fn look(&mut self, bounds: &Bounds, now: u64) {
        let span = seconds(now - self.since);
        let patience = bounds.latency.as_secs_f64().max(self.usual * bounds.factor);
        self.rate += (self.answered as f64 / span - self.rate) * span / (span + patience);
        let mean = if self.ended > 0 { seconds(self.took) / self.ended as f64 } else { 0.0 };
        let crowded = self.peak > bounds.least;
        if crowded && mean.max(self.expected(now)) > patience {
            self.limit = ((self.rate * patience) as usize).clamp(bounds.least, bounds.most);
        } else {
            self.limit = (self.limit + self.limit / 4 + 1).min(bounds.most);
        }
        // Learned only where calls do not wait for each other, else overload would become the usual.
        if self.ended > 0 && (!crowded || self.known == 0.0) {
            let ended = self.ended as f64;
            self.known = (self.known + ended).min(MEMORY);
            self.usual += (mean - self.usual) * (ended / self.known).min(1.0);
        }
        (self.since, self.peak) = (now, self.in_hand);
        (self.ended, self.took, self.answered) = (0, 0, 0);
    }

    /// Seconds that those in hand will have taken, if they are halfway on average. Says that a handler is stuck before
    /// any of its calls has ended.
    fn expected(&self, now: u64) -> f64 {
        let Ok(calls @ 1..) = u64::try_from(self.in_hand) else { return 0.0 };
        seconds(now.wrapping_mul(calls).wrapping_sub(self.begun)) / calls as f64 * 2.0
    }
}

/// Since the process began to measure.
pub(crate) fn nanos(moment: Instant) -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    as_nanos(moment.saturating_duration_since(*BEGUN))
}

fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
