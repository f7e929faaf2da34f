//! A transaction on a connection of its own, in one or several goes: the statements of each go are sent at once.

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use futures::future::join_all;

use crate::database::Scope;
use crate::failure::Failure;
use crate::measure::{Name, Turns};
use crate::sql::{DriverRow, Statement};
use crate::value::{self, Kind};

/// What PostgreSQL is given beyond a statement's own time before the connection is given up.
const GRACE: Duration = Duration::from_secs(2);

/// A failure and which of the statements it came from.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) statement: usize,
    pub(crate) failure: Failure,
}

/// A transaction. One that is dropped before its end takes its connection with it.
pub(crate) struct Transaction {
    connection: Option<Object<AsyncPgConnection>>,
    time: Duration,
    is_open: bool,
}

/// Whether the last statement of a go ends the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Go {
    On,
    End,
}

impl Transaction {
    /// Nothing is sent yet.
    pub(crate) fn on(connection: Object<AsyncPgConnection>, time: Duration) -> Self {
        Self { connection: Some(connection), time, is_open: false }
    }

    /// Sends the statements and waits for the rows of each.
    pub(crate) async fn run(
        &mut self,
        statements: Vec<Statement>,
        go: Go,
    ) -> Result<Vec<Vec<DriverRow>>, Failed> {
        let lost = |cause: &str| Failed { statement: 0, failure: Failure::Lost(cause.to_owned()) };
        let Some(connection) = &self.connection else { return Err(lost("the connection was given up")) };
        self.is_open = true;
        let mut turns = Turns::begin();
        let running = statements.into_iter().map(|statement| timed(statement, connection));
        // All are polled before the first answer is waited for, which sends them.
        let running = join_all(running.collect::<Vec<_>>());
        let Ok(results) = tokio::time::timeout(self.time + GRACE, running).await else {
            // Nobody knows what it is doing: it is not used again.
            self.give_up();
            return Err(lost("PostgreSQL did not answer in time"));
        };
        let mut rows = Vec::with_capacity(results.len());
        let mut failed = None;
        for (statement, (name, ended, result)) in results.into_iter().enumerate() {
            turns.ended(&name, ended);
            match result {
                Ok(result) => rows.push(result),
                Err(error) => {
                    let failure = Failure::from(error);
                    name.failed(failure.kind());
                    failed = Some(Failed { statement, failure });
                    break;
                }
            }
        }
        match failed {
            Some(failed) if matches!(failed.failure, Failure::Lost(_)) => {
                self.give_up();
                Err(failed)
            }
            failed => {
                self.is_open = go == Go::On;
                failed.map_or(Ok(rows), Err)
            }
        }
    }

    /// Ends it without effect.
    pub(crate) async fn roll_back(mut self) {
        if self.is_open && self.connection.is_some() {
            // Where that does not work either, the connection is not used again.
            if self.run(vec![roll_back()], Go::End).await.is_err() {
                self.is_open = true;
            }
        }
    }

    fn give_up(&mut self) {
        drop(self.connection.take().map(Object::take));
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_open {
            self.give_up();
        }
    }
}

/// Begins a transaction: `BEGIN` and what is said beside it.
pub(crate) fn begin(text: &'static str) -> Statement {
    Statement::fixed(text).named(Name::of("transaction.begin"))
}

/// Ends a transaction.
pub(crate) fn commit() -> Statement {
    Statement::fixed("COMMIT").named(Name::of("transaction.commit"))
}

/// Ends a transaction without effect.
pub(crate) fn roll_back() -> Statement {
    Statement::fixed("ROLLBACK").named(Name::of("transaction.rollback"))
}

/// Who may be seen, how long a statement may take, and of which trace it is: for this transaction alone. The trace is
/// the application's name, which PostgreSQL shows in pg_stat_activity and in its log; a comment in each statement would
/// make a new text of it every time, and cost the plan that is kept for the text.
pub(crate) fn settings(scope: Scope) -> Statement {
    let text = "SELECT set_config('artel.workspace', $1, true), set_config('statement_timeout', $2, true),
            set_config('application_name', $3, true)";
    set(text, scope, &scope.name())
}

/// The same for a transaction that writes, which gives the moment of its beginning back. It waits for a lock no longer
/// than `lock` (not at all limited where that is nothing), and its rows are looked up one by one: the plans are kept,
/// and those made while a table was small must not scan it when it has grown. `others` is how many more calls it serves.
pub(crate) fn settings_to_write(scope: Scope, lock: Duration, others: usize) -> Statement {
    let text =
        "SELECT now(), set_config('artel.workspace', $1, true), set_config('statement_timeout', $2, true),
            set_config('application_name', $3, true), set_config('lock_timeout', $4, true),
            set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
            set_config('enable_mergejoin', 'off', true)";
    let name = if others == 0 { scope.name() } else { format!("{} +{others}", scope.name()) };
    set(text, scope, &name).bind(Kind::Text, value::text(&lock.as_millis().to_string()))
}

fn set(text: &'static str, scope: Scope, name: &str) -> Statement {
    let time = scope.time.as_millis().max(1);
    Statement::fixed(text)
        .named(Name::of("transaction.settings"))
        .bind(Kind::Text, value::text(&scope.workspace.to_string()))
        .bind(Kind::Text, value::text(&time.to_string()))
        .bind(Kind::Text, value::text(name))
}

/// Runs one of several statements that are sent at once; beside its rows are its name and when it was done.
async fn timed(
    statement: Statement,
    connection: &AsyncPgConnection,
) -> (Name, Instant, QueryResult<Vec<DriverRow>>) {
    let name = statement.name().clone();
    let result = statement.run(connection).await;
    (name, Instant::now(), result)
}
