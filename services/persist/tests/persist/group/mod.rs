//! Commits that wait at the same moment share a transaction, and each of them ends as if it had been alone.
//!
//! On a runtime of one thread all commits of a `join_all` are in the queue before a writer runs, so what forms a group,
//! and in which order, is known; the position in the answers, which is the transaction's number, proves it.

mod compare;
mod join;
mod queue;
mod random;
mod share;

use std::collections::BTreeSet;

use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::persist::CommitResponse;

use crate::support::Bench;

/// persist with so many groups of one workspace at once, and so many commits in each.
async fn grouping(lanes: usize, commits: usize) -> Bench {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.set_commit_groups(lanes, commits);
    let (service, _) = relaying(&settings, crate::broker::Nowhere).await.unwrap();
    Bench { database, service }
}

fn positions<'a>(answers: impl IntoIterator<Item = &'a CommitResponse>) -> BTreeSet<i64> {
    answers.into_iter().map(|answer| answer.position).collect()
}
