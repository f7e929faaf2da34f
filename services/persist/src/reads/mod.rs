//! Which way a read goes. Short ones share a few connections, one behind the other without waiting for each other's
//! answers; a long one, or one that turns out to be, gets a connection of its own and holds up nobody.

mod pipe;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use artel_config::Secret;

use self::pipe::{Pipes, Refused};
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::sql::{Row, Statement};
use crate::value::{Kind, text};

/// The condition that makes a statement a short read. It sets what row-level security looks at within the statement
/// itself, so that a read is one message and one answer; the setting holds for the statement's own transaction, and is
/// gone with it. A condition that asks no row is looked at before the first row is: PostgreSQL does not begin to scan
/// before this is done. Were it to, no workspace would be set, and no row be seen.
pub(crate) const FRAMED: &str = "(SELECT set_config('artel.workspace', $1::text, true) IS NOT NULL
    AND set_config('application_name', $2, true) IS NOT NULL)";

/// How the reads of a role reach PostgreSQL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Connections that short reads share.
    pub(crate) connections: usize,
    /// Reads under way on one of them, at most.
    pub(crate) depth: usize,
    /// The longest that one may take there.
    pub(crate) time: Duration,
    /// Hits of a search that are ranked.
    pub(crate) ranked: usize,
}

/// Reads for a workspace.
pub(crate) struct Reads {
    database: Database,
    pipes: Pipes,
    ranked: usize,
}

/// The first two parameters of every read: its workspace, and the trace it belongs to.
pub(crate) fn begun(statement: Statement, scope: Scope) -> Statement {
    statement
        .bind(Kind::Uuid, Some(scope.workspace.as_bytes().to_vec()))
        .bind(Kind::Text, text(&scope.name()))
}

impl Reads {
    /// Reads over a role's connections.
    pub(crate) async fn open(database: &Database, url: &Secret, limits: Limits) -> anyhow::Result<Self> {
        let pipes = Pipes::open(crate::database::config(url)?, limits).await;
        Ok(Self { database: database.clone(), pipes, ranked: limits.ranked })
    }

    /// Hits of a search that are ranked at most.
    pub(crate) fn most_ranked(&self) -> usize {
        self.ranked
    }

    /// The connections that belong to one read at a time.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Reads on a connection of its own, for as long as the caller has time.
    pub(crate) async fn long(&self, scope: Scope, statement: Statement) -> Result<Vec<Row>, Failure> {
        let mut rows = self.database.read(scope, vec![statement]).await?;
        Ok(rows.pop().unwrap_or_default().into_iter().map(Row::Own).collect())
    }

    /// Reads what an index leads to at once: a text that asks for [`FRAMED`]. What does not work on a shared connection, for
    /// whatever reason, is done on one of its own.
    pub(crate) async fn short(&self, scope: Scope, statement: Statement) -> Result<Vec<Row>, Failure> {
        if !self.database.is_up() {
            return Err(Failure::Away("known to be away".to_owned()));
        }
        let begin = Instant::now();
        let reason = match self.pipes.read(scope.time, &statement).await {
            Ok(rows) => return Ok(rows.into_iter().map(Row::Shared).collect()),
            Err(reason) => reason,
        };
        let left = scope.time.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
        metrics::counter!("artel_persist_shared_reads_refused_total", "reason" => reason.name()).increment(1);
        if let Refused::Failed(error) = reason {
            tracing::debug!(%error, "a shared connection did not answer; the read goes on by itself");
        }
        self.long(Scope { time: left, ..scope }, statement).await
    }
}
