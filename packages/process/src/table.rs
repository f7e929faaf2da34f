use std::future::Future;
use std::sync::Arc;

use artel_client::Call;
use artel_proto::process::Saga;
use artel_repo::Commit;
use artel_util::Error;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::mishap::{Moment, Point, Way};
use crate::outcome::Outcome;

/// Work in steps: what one kind of saga does.
pub trait Process: Send + Sync + Sized + 'static {
    /// Its name, as it stands in the rows: `billing.payment`.
    const KIND: &'static str;
    /// What it is about, such as a payment: read when a process takes the saga on, and handed from step to step.
    type Subject: Clone + Send + Sync + 'static;

    /// The steps, in order.
    fn table() -> Table<Self>;

    /// What the saga with this id is about.
    ///
    /// # Errors
    /// What stands in the way of reading it; tried again later.
    fn load(&self, call: &Call, id: &str) -> impl Future<Output = Result<Self::Subject, Error>> + Send;

    /// Adds what belongs into the commit that ends a saga, done or undone.
    fn end(&self, _saga: &Saga, _subject: &Self::Subject, commit: Commit) -> Commit {
        commit
    }
}

/// What a step is given.
pub struct Turn<P: Process> {
    /// For whom and until when: it ends before the lease does.
    pub call: Call,
    /// What it is about, as the step before left it.
    pub subject: P::Subject,
    /// The step's key: the same in every attempt, `{saga's id}/{step}`.
    pub key: String,
    /// Which attempt it is: 1 the first time.
    pub attempt: i32,
}

type Action<P> = Arc<dyn Fn(Arc<P>, Turn<P>) -> BoxFuture<'static, Outcome<P>> + Send + Sync>;

/// The steps of a process, in order: those that can be undone, at most one whose outcome may be unknown (the pivot), and
/// those that only go forward.
pub struct Table<P: Process> {
    pub(crate) steps: Vec<Step<P>>,
}

pub(crate) struct Step<P: Process> {
    pub name: &'static str,
    pub kind: Kind,
    pub action: Action<P>,
    pub undo: Option<Action<P>>,
    pub look_up: Option<Action<P>>,
    pub when: Option<fn(&P::Subject) -> bool>,
}

/// How a step behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Undone by key, also where nobody knows whether it was done.
    Compensable,
    /// Looked up where nobody knows whether it was done, before anything else. Undone where it was.
    Pivot,
    /// Tried until it succeeds.
    Forward,
}

impl<P: Process> Table<P> {
    /// No steps yet.
    #[must_use]
    pub fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// A step that is undone when a later one is refused. Undoing must bear that it was never done, and keep it from being
    /// done afterwards.
    #[must_use]
    pub fn step<A, U, FA, FU>(self, name: &'static str, action: A, undo: U) -> Self
    where
        A: Fn(Arc<P>, Turn<P>) -> FA + Send + Sync + 'static,
        FA: Future<Output = Outcome<P>> + Send + 'static,
        U: Fn(Arc<P>, Turn<P>) -> FU + Send + Sync + 'static,
        FU: Future<Output = Outcome<P>> + Send + 'static,
    {
        self.with(name, Kind::Compensable, boxed(action), None, Some(boxed(undo)))
    }

    /// The step whose outcome may stay unknown. Looking up says `Done` where it was done, `NotDone` where it was not, and
    /// `Unknown` where nobody can tell. Undoing must look up, too.
    #[must_use]
    pub fn pivot<A, L, U, FA, FL, FU>(self, name: &'static str, action: A, look_up: L, undo: U) -> Self
    where
        A: Fn(Arc<P>, Turn<P>) -> FA + Send + Sync + 'static,
        FA: Future<Output = Outcome<P>> + Send + 'static,
        L: Fn(Arc<P>, Turn<P>) -> FL + Send + Sync + 'static,
        FL: Future<Output = Outcome<P>> + Send + 'static,
        U: Fn(Arc<P>, Turn<P>) -> FU + Send + Sync + 'static,
        FU: Future<Output = Outcome<P>> + Send + 'static,
    {
        self.with(name, Kind::Pivot, boxed(action), Some(boxed(look_up)), Some(boxed(undo)))
    }

    /// A step after which there is no way back: tried until it succeeds, and repeated where nobody knows.
    #[must_use]
    pub fn forward<A, FA>(self, name: &'static str, action: A) -> Self
    where
        A: Fn(Arc<P>, Turn<P>) -> FA + Send + Sync + 'static,
        FA: Future<Output = Outcome<P>> + Send + 'static,
    {
        self.with(name, Kind::Forward, boxed(action), None, None)
    }

    /// The last step is left out where this is false. It must not change its mind while the saga runs.
    #[must_use]
    pub fn when(mut self, condition: fn(&P::Subject) -> bool) -> Self {
        if let Some(step) = self.steps.last_mut() {
            step.when = Some(condition);
        }
        self
    }

    /// The names of the steps, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|step| step.name)
    }

    /// The names of the steps that can be refused: all before the first that only goes forward.
    pub fn refusable(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().filter(|step| step.kind != Kind::Forward).map(|step| step.name)
    }

    /// Every point at which a process may die on a saga about this, where all goes well.
    #[must_use]
    pub fn points(&self, subject: &P::Subject) -> Vec<Point> {
        let steps = self.steps.iter().filter(|step| step.applies(subject)).map(|step| step.name);
        trail(steps.collect(), Way::Forward)
    }

    /// Every point at which a process may die on the way back from this step, the step's own undoing included.
    #[must_use]
    pub fn points_back(&self, subject: &P::Subject, from: &str) -> Vec<Point> {
        let end = self.position(from).map_or(0, |position| position + 1);
        let steps = self.steps[..end].iter().rev().filter(|step| step.applies(subject)).map(|step| step.name);
        trail(steps.collect(), Way::Back).split_off(1)
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Step<P>> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The first step at or after a position that takes place.
    pub(crate) fn onward(&self, from: usize, subject: &P::Subject) -> Option<&Step<P>> {
        self.steps.iter().skip(from).find(|step| step.applies(subject))
    }

    /// The last step before a position that takes place.
    pub(crate) fn back(&self, before: usize, subject: &P::Subject) -> Option<&Step<P>> {
        self.steps.iter().take(before).rev().find(|step| step.applies(subject))
    }

    fn with(
        mut self,
        name: &'static str,
        kind: Kind,
        action: Action<P>,
        look_up: Option<Action<P>>,
        undo: Option<Action<P>>,
    ) -> Self {
        debug_assert!(self.position(name).is_none(), "two steps are called {name}");
        debug_assert!(
            kind == Kind::Forward || self.steps.iter().all(|step| step.kind == Kind::Compensable),
            "{name} stands after a step that cannot be undone by key"
        );
        self.steps.push(Step { name, kind, action, undo, look_up, when: None });
        self
    }
}

impl<P: Process> Default for Table<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Process> Step<P> {
    fn applies(&self, subject: &P::Subject) -> bool {
        self.when.is_none_or(|condition| condition(subject))
    }
}

fn boxed<P, A, F>(action: A) -> Action<P>
where
    P: Process,
    A: Fn(Arc<P>, Turn<P>) -> F + Send + Sync + 'static,
    F: Future<Output = Outcome<P>> + Send + 'static,
{
    Arc::new(move |process, turn| action(process, turn).boxed())
}

/// The points along these steps: before the first record, around each effect, after the last record.
fn trail(steps: Vec<&'static str>, way: Way) -> Vec<Point> {
    let point = |step, moment| Point { step, way, moment };
    let (Some(first), Some(last)) = (steps.first().copied(), steps.last().copied()) else {
        return Vec::new();
    };
    let around =
        steps.into_iter().flat_map(|step| [point(step, Moment::Recorded), point(step, Moment::Effected)]);
    [point(first, Moment::Unrecorded)].into_iter().chain(around).chain([point(last, Moment::Ended)]).collect()
}
