//! The letters that are kept, as sending them needs them: found, and written only by whoever saw them last.

use std::marker::PhantomData;

use artel_client::Call;
use artel_proto::persist::Operator;
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::from_chrono;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::letter::{Letter, Stage};

/// The letters that are kept.
#[async_trait]
pub(crate) trait Letters<L>: Send + Sync + 'static {
    async fn find(&self, call: &Call, id: &str) -> Result<Option<L>, Error>;

    /// Writes these fields if the row still has the version of `letter`, and gives its new one; `None` where somebody
    /// else wrote it in between. `step` names what is done and `mark` who does it, so that doing it again after an
    /// answer that was lost is recognised.
    async fn write(
        &self,
        call: &Call,
        letter: &L,
        fields: &[&str],
        step: &str,
        mark: &str,
    ) -> Result<Option<i64>, Error>;

    /// The workspaces with letters that are neither sent nor given up and that nobody has a lease of.
    async fn waiting(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error>;

    /// The ids of those letters in the call's workspace.
    async fn left_alone(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error>;
}

/// In `persist`.
pub(crate) struct Rows<L> {
    repo: Repo,
    of: PhantomData<fn() -> L>,
}

impl<L> Rows<L> {
    /// As many as one look takes on.
    const AT_ONCE: i32 = 200;

    pub fn new(repo: Repo) -> Self {
        Self { repo, of: PhantomData }
    }
}

#[async_trait]
impl<L: Letter> Letters<L> for Rows<L> {
    async fn find(&self, call: &Call, id: &str) -> Result<Option<L>, Error> {
        self.repo.get(call, id).await
    }

    async fn write(
        &self,
        call: &Call,
        letter: &L,
        fields: &[&str],
        step: &str,
        mark: &str,
    ) -> Result<Option<i64>, Error> {
        let version = letter.version();
        let key = format!("notify.{}/{}/{version}/{step}", L::CHANNEL, letter.id());
        let mark = Bytes::copy_from_slice(mark.as_bytes());
        let commit =
            Commit::new().update(letter, fields).expect_version(version).once(key, mark, Bytes::new());
        match self.repo.commit(call, commit).await {
            Ok(committed) => Ok(Some(committed.results.first().map_or(version + 1, |row| row.version))),
            Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "IDEMPOTENCY_KEY_REUSED") => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn waiting(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        self.repo.workspaces::<L>(call, left_alone::<L>(now)).await
    }

    async fn left_alone(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        let query = left_alone::<L>(now).order("lease_time", Direction::Ascending).page(Self::AT_ONCE, "");
        let page = self.repo.query::<L>(call, query).await?;
        Ok(page.items.iter().map(|letter| letter.id().to_owned()).collect())
    }
}

fn left_alone<L: Letter>(now: DateTime<Utc>) -> Query {
    let open = [Stage::Pending, Stage::Sending].map(L::status_of);
    Query::new().filter(Filter::one_of("status", open)).filter(Filter::compare(
        "lease_time",
        Operator::LessOrEqual,
        [from_chrono(now).into()],
    ))
}
