//! A commit that waits for its turn, and what it must not share a transaction with.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use artel_proto::persist::CommitResponse;
use artel_util::Error;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::batch::{Batch, Change, What};
use crate::caller::Caller;
use crate::plan::{Entity, Plans};

/// What only one of the groups under way may touch: a row, a unique value, an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Claim(usize, u128);

impl Claim {
    pub(super) fn row(entity: &Entity, id: Uuid) -> Self {
        Self(number(entity), id.as_u128())
    }

    /// Two that look the same and are not only wait for each other.
    fn hash(of: usize, value: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self(of, hasher.finish().into())
    }

    fn all(batch: &Batch) -> Vec<Self> {
        let mut claims = vec![Self::hash(0, &batch.key)];
        for change in &batch.changes {
            let entity = &*change.entity;
            claims.push(Self::row(entity, change.id));
            let What::Insert(cells) = &change.what else { continue };
            for index in entity.indexes.iter().filter(|index| index.unique) {
                let values: Vec<_> = index.columns.iter().map(|(column, _)| &cells[*column]).collect();
                claims.push(Self::hash(std::ptr::from_ref(index).addr(), values));
            }
        }
        claims
    }
}

/// What a commit came to.
pub(super) type Verdict = Result<CommitResponse, Error>;

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) batch: Batch,
    pub(super) caller: Caller,
    /// Bytes it takes while it waits.
    pub(super) size: usize,
    pub(super) since: Instant,
    pub(super) hazards: Hazards,
    pub(super) claims: Vec<Claim>,
    ticket: Ticket,
    answer: oneshot::Sender<Verdict>,
}

/// Says whether a commit still waits or has begun. Shared with the caller, who may give up only while it waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Ticket(Arc<AtomicBool>);

impl Ticket {
    /// True for the one who asks first: the caller who gives up, or the writer who begins.
    pub(super) fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

impl Member {
    pub(super) fn new(
        plans: &Plans,
        batch: Batch,
        caller: Caller,
        size: usize,
    ) -> (Self, Ticket, oneshot::Receiver<Verdict>) {
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket::default();
        let (hazards, claims) = (Hazards::of(plans, &batch), Claim::all(&batch));
        let since = Instant::now();
        let member = Self { batch, caller, size, since, hazards, claims, ticket: ticket.clone(), answer };
        (member, ticket, answered)
    }

    /// True where it may begin: its caller still waits for it.
    pub(super) fn begin(&self) -> bool {
        !self.answer.is_closed() && self.ticket.claim()
    }

    /// The opposite: it waits again.
    pub(super) fn put_back(&self) {
        self.ticket.0.store(false, Ordering::Release);
    }

    /// The rows it touches.
    pub(super) fn rows(&self) -> impl Iterator<Item = Claim> + '_ {
        self.batch.changes.iter().map(|change| Claim::row(&change.entity, change.id))
    }

    /// Those that it does not insert.
    pub(super) fn known_rows(&self) -> impl Iterator<Item = Claim> + '_ {
        let changes = self.batch.changes.iter().filter(|change| !matches!(change.what, What::Insert(_)));
        changes.map(|change| Claim::row(&change.entity, change.id))
    }

    /// True where its caller's time is up.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.caller.deadline.is_some_and(|deadline| deadline <= now)
    }

    pub(super) fn tell(self, verdict: Verdict) {
        // Nobody may be there to hear it: the commit counts all the same.
        let _ = self.answer.send(verdict);
    }
}

/// What a batch takes for granted, and what it may bring about for others.
///
/// In one transaction uniqueness and references hold at its end. A batch that was refused alone, because a value was still
/// taken or a row not yet there, must not pass because a later one of its group frees the value or makes the row: all in
/// all that could look like no order of the two. So a batch never joins a group it could mend.
#[derive(Debug, Default)]
pub(super) struct Hazards {
    needs: Vec<Hazard>,
    mends: Vec<Hazard>,
    /// It touches rows that are no workspace's own.
    pub(super) is_global: bool,
}

/// A kind of condition that the database itself checks, and the entity it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Hazard(Check, usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Check {
    /// Values are unique among the entity's rows.
    Unique,
    /// What is referred to, a row of the entity, is there.
    Refers,
    /// Nothing refers to a row of the entity that is deleted.
    Referred,
}

impl Hazards {
    /// What it brings about or takes away may matter to groups that touch other rows: no other group of its workspace is
    /// under way beside it. So of two transactions that depend on each other the first is over before the second begins.
    pub(super) fn is_exclusive(&self) -> bool {
        !self.mends.is_empty() || self.needs.iter().any(|hazard| hazard.0 == Check::Referred)
    }

    fn of(plans: &Plans, batch: &Batch) -> Self {
        let mut hazards = Self::default();
        for change in &batch.changes {
            hazards.add(plans, change);
        }
        hazards
    }

    fn add(&mut self, plans: &Plans, change: &Change) {
        let entity = &*change.entity;
        self.is_global |= !entity.scoped;
        let (is_new, is_gone) = match &change.what {
            What::Check | What::Adjust(_) => return self.add_columns(plans, entity, &adjusted(change)),
            What::Update(cells) => {
                let columns: Vec<usize> = cells.iter().map(|(column, _)| *column).collect();
                return self.add_columns(plans, entity, &columns);
            }
            What::Insert(_) => (true, false),
            What::Upsert(_) => (true, true),
            What::Delete => (false, true),
        };
        if entity.indexes.iter().any(|index| index.unique) {
            self.add_one(Hazard(Check::Unique, number(entity)), is_new, is_gone);
        }
        for target in entity.references.iter().map(|reference| plans.target(reference)) {
            self.add_one(Hazard(Check::Refers, number(target)), is_new, false);
            self.add_one(Hazard(Check::Referred, number(target)), false, is_gone);
        }
        if plans.is_referenced(entity) {
            self.add_one(Hazard(Check::Refers, number(entity)), false, is_new);
            self.add_one(Hazard(Check::Referred, number(entity)), is_gone, false);
        }
    }

    fn add_columns(&mut self, plans: &Plans, entity: &Entity, columns: &[usize]) {
        let is_unique = |column: &usize| {
            let mut indexes = entity.indexes.iter().filter(|index| index.unique);
            indexes.any(|index| index.columns.iter().any(|(other, _)| other == column))
        };
        if columns.iter().any(is_unique) {
            self.add_one(Hazard(Check::Unique, number(entity)), true, true);
        }
        for reference in entity.references.iter().filter(|reference| columns.contains(&reference.column)) {
            let target = number(plans.target(reference));
            self.add_one(Hazard(Check::Refers, target), true, false);
            self.add_one(Hazard(Check::Referred, target), false, true);
        }
    }

    fn add_one(&mut self, hazard: Hazard, needs: bool, mends: bool) {
        for (wanted, list) in [(needs, &mut self.needs), (mends, &mut self.mends)] {
            if wanted && !list.contains(&hazard) {
                list.push(hazard);
            }
        }
    }
}

fn adjusted(change: &Change) -> Vec<usize> {
    match &change.what {
        What::Adjust(numbers) => numbers.iter().map(|number| number.column).collect(),
        _ => Vec::new(),
    }
}

/// Plans stay where they are, so an entity's address is its number.
fn number(entity: &Entity) -> usize {
    std::ptr::from_ref(entity).addr()
}

/// What the members of a group take for granted so far.
#[derive(Debug, Default)]
pub(super) struct Needs(Vec<Hazard>);

impl Needs {
    /// Whether a batch could mend what one of the group lacks.
    pub(super) fn is_mended_by(&self, hazards: &Hazards) -> bool {
        hazards.mends.iter().any(|hazard| self.0.contains(hazard))
    }

    pub(super) fn add(&mut self, hazards: &Hazards) {
        for hazard in &hazards.needs {
            if !self.0.contains(hazard) {
                self.0.push(*hazard);
            }
        }
    }
}
