//! Commit: what waits at the same moment becomes one transaction, so that one flush and one set of statements serve many,
//! and a row that all of them want is written once. Nobody waits for a timer: the first to come is done at once, and
//! those who come meanwhile are the next group.
//!
//! Each batch is decided by itself, in the order of arrival, on rows that are locked and read (`apply`), so that one
//! that is refused takes no other with it.

mod apply;
mod attempt;
mod batch;
mod image;
mod join;
mod member;
mod queue;
mod recall;
mod refusal;
mod rows;
mod statements;
mod text;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_proto::Message as _;
use artel_proto::persist::{CommitRequest, CommitResponse, RecallRequest, RecallResponse};
use artel_util::Error;

use self::batch::Batch;
use self::member::Member;
pub(crate) use self::queue::Bounds;
use self::recall::Record;
use self::writer::Writers;
use crate::caller::Caller;
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::plan::Plans;
use crate::relay::Wake;

/// Takes commits.
pub(crate) struct Committer(Arc<Writers>);

impl Committer {
    /// `time` is the longest that a statement may take.
    pub(crate) fn new(
        database: Database,
        plans: Arc<Plans>,
        time: Duration,
        bounds: Bounds,
        wake: Arc<Wake>,
    ) -> Self {
        Self(Arc::new(Writers::new(database, plans, time, bounds, wake)))
    }

    /// Commits.
    pub(crate) async fn commit(
        &self,
        mut caller: Caller,
        request: CommitRequest,
    ) -> Result<CommitResponse, Error> {
        let Writers { database, plans, time, queue, .. } = &*self.0;
        let size = request.encoded_len();
        let batch = Batch::read(plans, request)?;
        if !database.is_up() {
            return Err(Failure::Away("known to be away".to_owned()).into());
        }
        // Nobody waits for longer than a statement may take.
        let latest = Instant::now() + *time;
        let deadline = caller.deadline.map_or(latest, |deadline| deadline.min(latest));
        caller.deadline = Some(deadline);
        let (member, ticket, mut answered) = Member::new(plans, batch, caller, size);
        if member.is_late(Instant::now()) {
            return Err(Failure::Timeout.into());
        }
        if queue.push(member)? {
            tokio::spawn(Arc::clone(&self.0).serve());
        }
        let answer = tokio::select! {
            biased;
            answer = &mut answered => answer,
            // What waits is given up; what has begun is answered in a moment, since its statements end in time.
            () = tokio::time::sleep_until(deadline.into()) => {
                if ticket.claim() {
                    return Err(Failure::Timeout.into());
                }
                answered.await
            }
        };
        answer.unwrap_or_else(|_| Err(Error::internal("the writer of a commit is gone")))
    }

    /// What a key answered.
    pub(crate) async fn recall(
        &self,
        caller: &Caller,
        request: RecallRequest,
    ) -> Result<RecallResponse, Error> {
        let Writers { database, time, .. } = &*self.0;
        let scope = Scope::new(caller, caller.deadline, *time);
        if scope.time.is_zero() {
            return Err(Failure::Timeout.into());
        }
        match Record::read(database, scope, &request.key).await? {
            None => Ok(RecallResponse::default()),
            Some(record) => {
                if !request.digest.is_empty() {
                    record.check(&request.digest)?;
                }
                Ok(RecallResponse { found: true, answer: record.answer })
            }
        }
    }
}
