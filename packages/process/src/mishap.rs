use async_trait::async_trait;

/// What may befall a process while it works on a saga, for tests. None by default.
#[async_trait]
pub trait Mishaps: Send + Sync + 'static {
    /// True where the process dies at this point: nothing more is written, and the lease is kept. What takes time here
    /// makes the process hang at the point.
    async fn strikes(&self, saga: &str, point: Point) -> bool;
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
