//! What the database remembers of a commit by its key.

use artel_proto::persist::CommitResponse;
use artel_util::Error;
use bytes::Bytes;
use tonic::Code;
use uuid::Uuid;

use super::batch::Batch;
use super::blank;
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{Statement, with_column};
use crate::value::{self, Kind, read_i32, read_i64};

const READ: &str =
    "SELECT commit_id, digest, answer, txid FROM idempotency WHERE workspace_id = $1 AND key = $2";

const VERSIONS: &str = "SELECT ordinal, CASE WHEN operation = 'delete' THEN 0 ELSE version END
FROM change_log WHERE txid = $1 AND workspace_id = $2";

/// The record of a key.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) commit_id: Uuid,
    digest: Vec<u8>,
    pub(super) answer: Bytes,
    txid: i64,
}

impl Record {
    pub(super) async fn read(database: &Database, scope: Scope, key: &str) -> Result<Option<Self>, Failure> {
        let statement = Statement::fixed(READ)
            .named(Name::of("idempotency.get"))
            .bind(Kind::Uuid, Some(scope.workspace.as_bytes().to_vec()))
            .bind(Kind::Text, value::text(key));
        let rows = database.read(scope, vec![statement]).await?;
        let row = rows.first().and_then(|rows| rows.first());
        Ok(row.map(|row| {
            let bytes = |index| with_column(row, index, |cell| cell.unwrap_or_default().to_vec());
            Self {
                commit_id: Uuid::from_slice(&bytes(0)).unwrap_or_default(),
                digest: bytes(1),
                answer: bytes(2).into(),
                txid: read_i64(&bytes(3)).unwrap_or_default(),
            }
        }))
    }

    /// Refuses another digest than the one kept.
    pub(super) fn check(&self, digest: &[u8]) -> Result<(), Error> {
        if self.digest == digest {
            return Ok(());
        }
        Err(Error::new(
            Code::AlreadyExists,
            "IDEMPOTENCY_KEY_REUSED",
            "This idempotency key was used for another request. Take a new key for a new request.",
        ))
    }

    /// The answer to the same request as before.
    pub(super) fn replay(self, digest: &[u8]) -> Result<CommitResponse, Error> {
        self.check(digest)?;
        Ok(CommitResponse {
            replayed: true,
            answer: self.answer,
            position: self.txid,
            ..CommitResponse::default()
        })
    }

    /// The answer that was lost on its way, from what the change log says.
    pub(super) async fn reconstruct(
        self,
        database: &Database,
        scope: Scope,
        batch: &Batch,
    ) -> Result<CommitResponse, Error> {
        let mut response = blank(batch);
        response.position = self.txid;
        let statement = Statement::fixed(VERSIONS)
            .named(Name::of("change_log.versions"))
            .bind(Kind::Bigint, value::bigint(self.txid))
            .bind(Kind::Uuid, Some(scope.workspace.as_bytes().to_vec()));
        for row in database.read(scope, vec![statement]).await?.into_iter().flatten() {
            let ordinal = with_column(&row, 0, |cell| cell.and_then(read_i32)).unwrap_or(-1);
            let version = with_column(&row, 1, |cell| cell.and_then(read_i64)).unwrap_or_default();
            if let Some(result) = usize::try_from(ordinal).ok().and_then(|at| response.results.get_mut(at)) {
                result.version = version;
            }
        }
        Ok(response)
    }
}
