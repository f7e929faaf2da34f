//! One copy of a service and what is known of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::Limits;
use crate::link::Link;
use crate::pool::nanos;

/// Weight of the newest latency in the average: one eighth.
const SMOOTHING: u64 = 8;
/// The time after which what was measured counts half.
const HALF_LIFE: u64 = 200_000_000;
/// A copy that answered nobody for as long as a call waited for it, and that for so long, counts as failing.
const SILENT: Duration = Duration::from_secs(1);

/// A copy of a service. Times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) link: Link,
    limits: Arc<Limits>,
    in_flight: AtomicU32,
    latency: AtomicU64,
    answered: AtomicU64,
    failures: AtomicU32,
    breaks: AtomicU32,
    back_at: AtomicU64,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr, limits: &Arc<Limits>) -> Option<Self> {
        Some(Self {
            address,
            link: Link::to(address)?,
            limits: Arc::clone(limits),
            in_flight: AtomicU32::new(0),
            latency: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            breaks: AtomicU32::new(0),
            back_at: AtomicU64::new(0),
        })
    }

    /// Counts a call in; its end is told to what it gives back.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { peer: Arc::clone(self), since: nanos(), told: false }
    }

    /// Smoothed latency times the calls that wait: what a new call has before it. What was measured counts less the
    /// longer ago it was, or who was slow once would never be asked again.
    pub(crate) fn load(&self, now: u64) -> u64 {
        let waiting = u64::from(self.in_flight.load(Ordering::Relaxed)) + 1;
        let halves = now.saturating_sub(self.answered.load(Ordering::Relaxed)) / HALF_LIFE;
        let latency = self.latency.load(Ordering::Relaxed) >> halves.min(63);
        latency.max(1).saturating_mul(waiting)
    }

    pub(crate) fn is_well(&self, now: u64) -> bool {
        self.back_at.load(Ordering::Relaxed) <= now
    }

    fn succeed(&self, since: u64) {
        let now = nanos();
        let took = now.saturating_sub(since);
        // The first had to wait for the connection, and says nothing.
        if self.answered.swap(now, Ordering::Relaxed) > 0 {
            let old = self.latency.load(Ordering::Relaxed);
            // One of two that end at the same moment may be forgotten.
            let new = if old == 0 { took } else { old - old / SMOOTHING + took / SMOOTHING };
            self.latency.store(new, Ordering::Relaxed);
        }
        self.failures.store(0, Ordering::Relaxed);
        self.breaks.store(0, Ordering::Relaxed);
    }

    fn fail(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < self.limits.failures {
            return;
        }
        // When it is back, one more is enough.
        self.failures.store(self.limits.failures - 1, Ordering::Relaxed);
        let breaks = self.breaks.fetch_add(1, Ordering::Relaxed).min(16);
        let pause = self.limits.first_break.saturating_mul(1 << breaks).min(self.limits.longest_break);
        self.leave_alone(pause);
        tracing::warn!(address = %self.address, ?pause, "left alone after failures");
    }

    fn leave_alone(&self, pause: Duration) {
        let pause = u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX);
        self.back_at.fetch_max(nanos().saturating_add(pause), Ordering::Relaxed);
    }
}

/// A call on its way.
pub(crate) struct InFlight {
    peer: Arc<Peer>,
    since: u64,
    told: bool,
}

impl InFlight {
    /// The copy answered, whatever it answered.
    pub(crate) fn succeed(mut self) {
        self.told = true;
        self.peer.succeed(self.since);
    }

    /// The copy could not be reached or was not able to answer.
    pub(crate) fn fail(mut self) {
        self.told = true;
        self.peer.fail();
    }

    /// The copy has too much to do; it is left alone for the moment. How fast it says so is not how fast it works.
    pub(crate) fn refuse(mut self, pause: Duration) {
        self.told = true;
        self.peer.answered.store(nanos(), Ordering::Relaxed);
        self.peer.leave_alone(pause);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.peer.in_flight.fetch_sub(1, Ordering::Relaxed);
        // That one caller stopped waiting says nothing against a copy, unless nobody heard of it all the while.
        let silent = u64::try_from(SILENT.as_nanos()).unwrap_or(u64::MAX);
        if !self.told
            && nanos().saturating_sub(self.since) >= silent
            && self.peer.answered.load(Ordering::Relaxed) < self.since
        {
            // A wait without an answer is no short one.
            self.peer.latency.fetch_max(nanos().saturating_sub(self.since), Ordering::Relaxed);
            self.peer.fail();
        }
    }
}
