use std::time::{Instant, SystemTime};

use artel_client::Call;
use artel_proto::persist::mutation::Change;
use artel_proto::persist::{
    Adjust, Check, CommitRequest, Delete, Event as Announcement, Expectation, Idempotency, Insert, Mutation,
    MutationResult, Update, Upsert,
};
use artel_proto::{Entity, Event, FieldMask, Message, Timestamp};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::query::Val;

/// An atomic batch of changes and what they announce. Reads as a list of what happens.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Commit {
    pub(crate) request: CommitRequest,
    /// Which of its events expire with the call.
    in_time: Vec<usize>,
}

/// What a commit did.
#[derive(Debug, Clone)]
pub struct Committed {
    /// True when its key was committed before: nothing was done now.
    pub replayed: bool,
    /// The answer stored with the key, of the commit that counted.
    pub answer: Bytes,
    /// Key and version of each row, in the order of the mutations; empty when replayed.
    pub results: Vec<MutationResult>,
    /// The ids of the events, in order; empty when replayed.
    pub event_ids: Vec<String>,
    /// Where the commit stands in the order of commits.
    pub position: i64,
}

/// A number to add to a field, with bounds.
#[derive(Debug, Clone)]
#[must_use]
pub struct Delta(artel_proto::persist::Delta);

/// A digest of a request, to tell a repetition from another request under the same key.
#[must_use]
pub fn digest<M: Message>(request: &M) -> Bytes {
    Sha256::digest(request.encode_to_vec()).to_vec().into()
}

impl Commit {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new row.
    pub fn insert<T: Entity>(self, entity: &T) -> Self {
        self.change::<T>(entity.id(), Change::Insert(Insert { body: body(entity) }))
    }

    /// The fields named, of a row that exists.
    pub fn update<T: Entity>(self, entity: &T, fields: &[&str]) -> Self {
        let mask = FieldMask { paths: fields.iter().map(|field| (*field).to_owned()).collect() };
        self.change::<T>(entity.id(), Change::Update(Update { body: body(entity), mask: Some(mask) }))
    }

    /// A new row, or all fields of the one there is.
    pub fn upsert<T: Entity>(self, entity: &T) -> Self {
        self.change::<T>(entity.id(), Change::Upsert(Upsert { body: body(entity) }))
    }

    /// The row's end.
    pub fn delete<T: Entity>(self, id: &str) -> Self {
        self.change::<T>(id, Change::Delete(Delete {}))
    }

    /// Numbers added to fields.
    pub fn adjust<T: Entity>(self, id: &str, deltas: impl IntoIterator<Item = Delta>) -> Self {
        let deltas = deltas.into_iter().map(|delta| delta.0).collect();
        self.change::<T>(id, Change::Adjust(Adjust { deltas }))
    }

    /// Nothing but the conditions that follow.
    pub fn check<T: Entity>(self, id: &str) -> Self {
        self.change::<T>(id, Change::Check(Check {}))
    }

    /// The row of the last mutation must have this version.
    pub fn expect_version(mut self, version: i64) -> Self {
        if let Some(mutation) = self.request.mutations.last_mut() {
            mutation.expected_version = version;
        }
        self
    }

    /// The row of the last mutation must have this value in the field.
    pub fn expect(mut self, field: &str, value: impl Into<Val>) -> Self {
        if let Some(mutation) = self.request.mutations.last_mut() {
            mutation.expectations.push(Expectation { field: field.to_owned(), value: Some(value.into().0) });
        }
        self
    }

    /// The row of the last mutation must have nothing in the field.
    pub fn expect_null(mut self, field: &str) -> Self {
        if let Some(mutation) = self.request.mutations.last_mut() {
            mutation.expectations.push(Expectation { field: field.to_owned(), value: None });
        }
        self
    }

    /// Tells those who listen, once it is committed.
    pub fn publish<E: Event>(self, event: &E) -> Self {
        self.announce(event, None)
    }

    /// Tells those who listen, unless that takes until after this moment.
    pub fn publish_until<E: Event>(self, event: &E, expire_time: Timestamp) -> Self {
        self.announce(event, Some(expire_time))
    }

    /// Tells those who listen, unless that takes until after the moment at which the caller stops waiting: what matters
    /// only while somebody waits for it.
    pub fn publish_in_time<E: Event>(mut self, event: &E) -> Self {
        self.in_time.push(self.request.events.len());
        self.announce(event, None)
    }

    /// Happens once for this key. `digest` tells a repetition from another request; `answer` is given back to one.
    pub fn once(mut self, key: impl Into<String>, digest: Bytes, answer: impl Into<Bytes>) -> Self {
        self.request.idempotency = Some(Idempotency { key: key.into(), digest, answer: answer.into() });
        self
    }

    /// The request as part of this call.
    pub(crate) fn within(mut self, call: &Call) -> CommitRequest {
        if let Some(deadline) = call.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            let expire = SystemTime::now().checked_add(left).map(Timestamp::from);
            for index in self.in_time {
                if let Some(event) = self.request.events.get_mut(index) {
                    event.expire_time = expire;
                }
            }
        }
        self.request
    }

    /// True where nothing would be written or told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.mutations.is_empty() && self.request.events.is_empty()
    }

    fn change<T: Entity>(mut self, id: &str, change: Change) -> Self {
        self.request.mutations.push(Mutation {
            entity: T::NAME.to_owned(),
            id: id.to_owned(),
            change: Some(change),
            ..Mutation::default()
        });
        self
    }

    fn announce<E: Event>(mut self, event: &E, expire_time: Option<Timestamp>) -> Self {
        self.request.events.push(Announcement {
            r#type: E::TYPE.to_owned(),
            body: event.encode_to_vec().into(),
            expire_time,
        });
        self
    }
}

impl Delta {
    /// Adds to a field; a negative amount takes.
    pub fn add(field: &str, amount: impl Into<i64>) -> Self {
        Self(artel_proto::persist::Delta {
            field: field.to_owned(),
            amount: amount.into(),
            ..artel_proto::persist::Delta::default()
        })
    }

    /// The field must not fall below this.
    pub fn floor(mut self, least: i64) -> Self {
        self.0.floor = Some(least);
        self
    }

    /// The field must not rise above this.
    pub fn ceiling(mut self, greatest: i64) -> Self {
        self.0.ceiling = Some(greatest);
        self
    }
}

fn body<T: Entity>(entity: &T) -> Bytes {
    entity.encode_to_vec().into()
}
