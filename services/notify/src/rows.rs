//! The e-mails that are kept, as sending them needs them: found, and written only by whoever saw them last.

use artel_client::Call;
use artel_proto::notify::{Email, EmailStatus};
use artel_proto::persist::Operator;
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::from_chrono;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

/// The e-mails that are kept.
#[async_trait]
pub(crate) trait Emails: Send + Sync + 'static {
    async fn find(&self, call: &Call, id: &str) -> Result<Option<Email>, Error>;

    /// Writes these fields if the row still has the version of `email`, and gives its new one; `None` where somebody
    /// else wrote it in between. `step` names what is done and `mark` who does it, so that doing it again after an
    /// answer that was lost is recognised.
    async fn write(
        &self,
        call: &Call,
        email: &Email,
        fields: &[&str],
        step: &str,
        mark: &str,
    ) -> Result<Option<i64>, Error>;

    /// The workspaces with e-mails that are neither sent nor given up and that nobody has a lease of.
    async fn waiting(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error>;

    /// The ids of those e-mails in the call's workspace.
    async fn left_alone(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error>;
}

/// In `persist`.
pub(crate) struct Rows {
    repo: Repo,
}

impl Rows {
    /// As many as one look takes on.
    const AT_ONCE: i32 = 200;

    pub fn new(repo: Repo) -> Self {
        Self { repo }
    }
}

#[async_trait]
impl Emails for Rows {
    async fn find(&self, call: &Call, id: &str) -> Result<Option<Email>, Error> {
        self.repo.get(call, id).await
    }

    async fn write(
        &self,
        call: &Call,
        email: &Email,
        fields: &[&str],
        step: &str,
        mark: &str,
    ) -> Result<Option<i64>, Error> {
        let key = format!("notify.email/{}/{}/{step}", email.id, email.version);
        let mark = Bytes::copy_from_slice(mark.as_bytes());
        let commit =
            Commit::new().update(email, fields).expect_version(email.version).once(key, mark, Bytes::new());
        match self.repo.commit(call, commit).await {
            Ok(committed) => Ok(Some(committed.results.first().map_or(email.version + 1, |row| row.version))),
            Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "IDEMPOTENCY_KEY_REUSED") => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn waiting(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        self.repo.workspaces::<Email>(call, left_alone(now)).await
    }

    async fn left_alone(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        let query = left_alone(now).order("lease_time", Direction::Ascending).page(Self::AT_ONCE, "");
        let page = self.repo.query::<Email>(call, query).await?;
        Ok(page.items.into_iter().map(|email| email.id).collect())
    }
}

fn left_alone(now: DateTime<Utc>) -> Query {
    let open = [EmailStatus::Pending, EmailStatus::Sending].map(|status| status.as_str_name());
    Query::new().filter(Filter::one_of("status", open)).filter(Filter::compare(
        "lease_time",
        Operator::LessOrEqual,
        [from_chrono(now).into()],
    ))
}
