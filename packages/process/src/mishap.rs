use artel_util::Error;
use async_trait::async_trait;

use crate::outcome::Outcome;
use crate::table::Process;

/// What may befall a process while it works on a saga, for tests. Nothing by default.
#[async_trait]
pub trait Mishaps: Send + Sync + 'static {
    /// What happens at this point. What takes time here makes the process hang there.
    async fn strikes(&self, saga: &str, point: Point) -> Mishap;
}

/// Something that happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    Nothing,
    /// The process dies: nothing more is written, and the lease is kept.
    Death,
    /// Once it is recorded: whom the step asks is away. It is not asked.
    Outage,
    /// Once it is recorded: whom the step asks refuses, without being asked.
    Refusal,
    /// Once it is done: the answer is lost.
    Loss,
}

impl Mishap {
    /// How an attempt at a step ends where this happens before it; `None` where it is made.
    pub(crate) fn before<P: Process>(self) -> Option<Outcome<P>> {
        match self {
            Self::Outage => Some(Outcome::NotDone(Error::unavailable("AWAY", "Nobody is there. Try again."))),
            Self::Refusal => Some(Outcome::Refused(Error::precondition("REFUSED", "Not like this."))),
            _ => None,
        }
    }

    /// How an attempt ends where this happens after it.
    pub(crate) fn after<P: Process>(self, outcome: Outcome<P>) -> Outcome<P> {
        match self {
            Self::Loss => Outcome::Unknown(Error::unavailable("LOST", "The answer was lost. Try again.")),
            _ => outcome,
        }
    }
}

/// A point at which a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// The step.
    pub step: &'static str,
    /// Whether it is tried or undone.
    pub way: Way,
    /// How far it is.
    pub moment: Moment,
}

/// Which way a saga goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Step by step to its end.
    Forward,
    /// Step by step back.
    Back,
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Nothing of the saga is written yet.
    Unrecorded,
    /// It is written that the step begins; nothing is done.
    Recorded,
    /// The step is done; its result, and with it the next step, is not written.
    Effected,
    /// The last record is written; nobody has been told.
    Ended,
}
