//! What the database remembers of commits by their keys.

use artel_proto::persist::CommitResponse;
use artel_util::Error;
use bytes::Bytes;
use tonic::Code;
use uuid::Uuid;

use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{Array, Kind, read_i64};

macro_rules! records_of {
    ($table:literal) => {
        concat!(
            "SELECT key, commit_id, digest, answer, txid FROM ",
            $table,
            " WHERE workspace_id = $1 AND key = ANY($2)"
        )
    };
}

/// Of this turn and the one before.
const READ: &str = concat!(
    records_of!("idempotency"),
    " UNION ALL ",
    records_of!("idempotency_before"),
    " UNION ALL ",
    records_of!("outcome"),
    " UNION ALL ",
    records_of!("outcome_before")
);

/// The record of a key.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) commit_id: Uuid,
    digest: Vec<u8>,
    pub(super) answer: Bytes,
    txid: i64,
}

impl Record {
    /// The statement that reads the records of keys.
    pub(super) fn statement<'a>(workspace: Uuid, keys: impl Iterator<Item = &'a str>) -> Statement {
        let mut array = Array::new(Kind::Text);
        keys.for_each(|key| array.push(Some(key.as_bytes())));
        let mut statement = Statement::fixed(READ)
            .named(Name::of("idempotency.get"))
            .bind(Kind::Uuid, Some(workspace.as_bytes().to_vec()));
        statement.push_array(array);
        statement
    }

    /// A record out of what the statement found.
    pub(super) fn of(row: &DriverRow) -> Self {
        let bytes = |index| with_column(row, index, |cell| cell.unwrap_or_default().to_vec());
        Self {
            key: String::from_utf8_lossy(&bytes(0)).into_owned(),
            commit_id: Uuid::from_slice(&bytes(1)).unwrap_or_default(),
            digest: bytes(2),
            answer: bytes(3).into(),
            txid: read_i64(&bytes(4)).unwrap_or_default(),
        }
    }

    /// The record of one key.
    pub(super) async fn read(database: &Database, scope: Scope, key: &str) -> Result<Option<Self>, Failure> {
        let statement = Self::statement(scope.workspace, [key].into_iter());
        let rows = database.read(scope, vec![statement]).await?;
        Ok(rows.first().and_then(|rows| rows.first()).map(Self::of))
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
    pub(super) fn replay(&self, digest: &[u8]) -> Result<CommitResponse, Error> {
        self.check(digest)?;
        Ok(CommitResponse {
            replayed: true,
            answer: self.answer.clone(),
            position: self.txid,
            ..CommitResponse::default()
        })
    }
}
