//! Commit: a batch becomes one transaction, sent in one go. Whether a condition holds is decided in the database, so
//! nothing waits for an answer in between, and locks are held no longer than the flush.

mod batch;
mod recall;
mod refusal;
mod statements;
mod text;

use std::time::{Duration, Instant};

use artel_proto::persist::{CommitRequest, CommitResponse, MutationResult, RecallRequest, RecallResponse};
use artel_util::Error;
use rand::RngExt as _;

use self::batch::{Batch, What};
use self::recall::Record;
use self::refusal::Place;
use self::statements::{Step, Texts, statements};
use crate::caller::Caller;
use crate::database::{Database, Failed, Scope};
use crate::failure::Failure;
use crate::plan::Plans;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{read_i32, read_i64};

/// How often a batch is tried again after a deadlock or a serialization failure.
const MOST_CONFLICTS: u32 = 8;
/// For how long the outcome of a commit whose connection was lost is looked for.
const RESOLVE: Duration = Duration::from_secs(20);
/// How long the record of a commit without a key of the caller's is kept: it only serves to look for its outcome.
const KEEP_UNKEYED: Duration = Duration::from_secs(600);

/// Takes commits.
#[derive(Debug, Default)]
pub(crate) struct Committer {
    texts: Texts,
}

/// Limits of a commit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The longest a statement may take.
    pub(crate) time: Duration,
    /// How long an idempotency record is kept.
    pub(crate) keep: Duration,
}

impl Committer {
    /// Commits. True beside the answer where events wait to be relayed.
    pub(crate) async fn commit(
        &self,
        database: &Database,
        plans: &Plans,
        limits: Limits,
        caller: &Caller,
        request: CommitRequest,
    ) -> Result<(CommitResponse, bool), Error> {
        let batch = Batch::read(plans, request)?;
        let keep = if batch.keyed { limits.keep } else { KEEP_UNKEYED };
        let steps = statements(plans, &self.texts, caller, &batch, keep);
        let (mut conflicts, mut lost) = (0, None::<Instant>);
        loop {
            let scope = scope(caller, limits, lost)?;
            let all: Vec<Statement> = steps.iter().map(|(_, statement)| statement.clone()).collect();
            let Failed { statement, failure } = match database.transaction("BEGIN", scope, all).await {
                Ok(rows) => return Ok((answer(&batch, &steps, &rows), !batch.events.is_empty())),
                Err(failed) => failed,
            };
            match failure {
                Failure::Condition(condition) if condition.condition == "key" => {
                    let record = Record::read(database, scope, &batch.key).await;
                    match record {
                        // This very commit, whose answer was lost.
                        Ok(Some(record)) if record.commit_id == batch.commit_id => {
                            let answer = record.reconstruct(database, scope, &batch).await?;
                            metrics::counter!("artel_persist_commits_resolved_total").increment(1);
                            return Ok((answer, !batch.events.is_empty()));
                        }
                        Ok(Some(record)) => {
                            return record.replay(&batch.digest).map(|answer| (answer, false));
                        }
                        // Swept between the two statements: the key is free again.
                        Ok(None) => {}
                        Err(Failure::Away(cause) | Failure::Lost(cause)) => {
                            wait_for_database(&mut lost, cause).await?;
                        }
                        Err(failure) => return Err(failure.into()),
                    }
                }
                Failure::Conflict if conflicts < MOST_CONFLICTS => {
                    conflicts += 1;
                    metrics::counter!("artel_persist_commit_conflicts_total").increment(1);
                    let jitter = rand::rng().random_range(1..=4_u64 << conflicts.min(6));
                    tokio::time::sleep(Duration::from_millis(jitter)).await;
                }
                // Nothing was sent, now or before.
                Failure::Away(cause) if lost.is_none() => return Err(Failure::Away(cause).into()),
                // Nobody knows what became of it: the same key finds out, or does it now.
                Failure::Away(cause) | Failure::Lost(cause) => wait_for_database(&mut lost, cause).await?,
                failure => {
                    let (step, _) = &steps[statement.min(steps.len() - 1)];
                    let at = Place { database, scope, plans, batch: &batch, step };
                    return Err(refusal::error(at, failure).await);
                }
            }
        }
    }

    /// What a key answered.
    pub(crate) async fn recall(
        &self,
        database: &Database,
        limits: Limits,
        caller: &Caller,
        request: RecallRequest,
    ) -> Result<RecallResponse, Error> {
        let scope = scope(caller, limits, None)?;
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

/// The scope of the next attempt. Finding out what became of a commit goes on when the caller's time is up: the answer
/// may still reach a caller that waits longer than it said.
fn scope(caller: &Caller, limits: Limits, lost: Option<Instant>) -> Result<Scope, Error> {
    if lost.is_some() {
        return Ok(Scope::new(caller, None, limits.time));
    }
    let scope = Scope::new(caller, caller.deadline, limits.time);
    if scope.time.is_zero() { Err(Failure::Timeout.into()) } else { Ok(scope) }
}

async fn wait_for_database(lost: &mut Option<Instant>, cause: String) -> Result<(), Error> {
    let since = *lost.get_or_insert_with(Instant::now);
    if since.elapsed() > RESOLVE {
        return Err(Error::unavailable(
            "COMMIT_UNRESOLVED",
            "The database was lost while it committed, and stays away. Send the same commit with the same key again.",
        )
        .caused_by(cause));
    }
    let wait = (since.elapsed() / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
    tokio::time::sleep(wait).await;
    Ok(())
}

fn answer(batch: &Batch, steps: &[(Step, Statement)], rows: &[Vec<DriverRow>]) -> CommitResponse {
    let mut response = blank(batch);
    for ((step, _), rows) in steps.iter().zip(rows) {
        match step {
            Step::Key => {
                let txid = rows.first().and_then(|row| with_column(row, 0, |cell| cell.and_then(read_i64)));
                response.position = txid.unwrap_or_default();
            }
            Step::Change(_) => {
                for row in rows {
                    let ordinal = with_column(row, 0, |cell| cell.and_then(read_i32)).unwrap_or_default();
                    let version = with_column(row, 1, |cell| cell.and_then(read_i64)).unwrap_or_default();
                    if let Some(result) =
                        usize::try_from(ordinal).ok().and_then(|at| response.results.get_mut(at))
                    {
                        result.version = version;
                    }
                }
            }
            Step::Lock | Step::References | Step::Events => {}
        }
    }
    response
}

/// The answer to a batch as far as it is known without the database.
fn blank(batch: &Batch) -> CommitResponse {
    let result = |change: &batch::Change| MutationResult {
        id: change.id.to_string(),
        version: if matches!(change.what, What::Check) { change.expected_version } else { 0 },
    };
    CommitResponse {
        results: batch.changes.iter().map(result).collect(),
        event_ids: batch.events.iter().map(|event| event.id.to_string()).collect(),
        position: 0,
        replayed: false,
        answer: batch.answer.clone(),
    }
}
