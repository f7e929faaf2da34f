//! Connections to PostgreSQL: made lazily, bounded in number and in waiting, and watched, so that callers are answered
//! at once while the database is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_config::Secret;
use diesel::ConnectionError;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, Pool, PoolError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use futures::FutureExt as _;
use tokio::sync::watch;

use crate::caller::Caller;
use crate::failure::Failure;
use crate::sql::{DriverRow, Statement};
use crate::transaction::{self, Failed, Go, Transaction};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(3);

/// A role's connections to PostgreSQL.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool<AsyncPgConnection>,
    /// The role, for its metrics.
    role: Arc<str>,
    /// The gauge that says whether it answers.
    gauge: &'static str,
    wait: Duration,
    up: Arc<watch::Sender<bool>>,
}

/// For whom a transaction runs and how long a statement of it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    pub(crate) workspace: uuid::Uuid,
    pub(crate) time: Duration,
    /// The trace that it belongs to.
    pub(crate) trace: uuid::Uuid,
}

impl Database {
    /// Connections of a URL (`postgres://role:password@host/database`, or `?host=/folder` for a socket); none is made yet.
    pub(crate) fn new(url: &Secret, connections: usize, wait: Duration) -> anyhow::Result<Self> {
        let config = config(url)?;
        let role = config.get_user().unwrap_or_default().into();
        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(move |_| connect(config.clone()).boxed());
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), manager);
        let pool = Pool::builder(manager).max_size(connections).build()?;
        let gauge = "artel_persist_database_up";
        Ok(Self { pool, role, gauge, wait, up: Arc::new(watch::Sender::new(true)) })
    }

    /// The same as those to a replica, in metrics.
    pub(crate) fn of_replica(self) -> Self {
        Self { role: "replica".into(), gauge: "artel_persist_replica_up", ..self }
    }

    /// True while PostgreSQL answers.
    pub(crate) fn up(&self) -> watch::Receiver<bool> {
        self.up.subscribe()
    }

    /// Whether PostgreSQL answered when it was last asked.
    pub(crate) fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// A connection; refused at once while PostgreSQL is known to be away.
    pub(crate) async fn connection(&self) -> Result<Object<AsyncPgConnection>, Failure> {
        if !self.is_up() {
            return Err(Failure::Away("known to be away".to_owned()));
        }
        let connection = self.any_connection().await;
        if let Err(Failure::Away(_)) = &connection {
            self.set_up(false);
        }
        connection
    }

    async fn any_connection(&self) -> Result<Object<AsyncPgConnection>, Failure> {
        match tokio::time::timeout(self.wait, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(PoolError::Timeout(_))) => Err(Failure::Busy),
            Ok(Err(error)) => Err(Failure::Away(error.to_string())),
            // Waiting for a connection to be made is the database's fault, for one to come back is ours.
            Err(_) if self.pool.status().size < self.pool.status().max_size => {
                Err(Failure::Away("no connection came about in time".to_owned()))
            }
            Err(_) => Err(Failure::Busy),
        }
    }

    /// Runs statements in one transaction, all sent at once, in a task of its own: a caller that goes away leaves no
    /// transaction open behind it.
    pub(crate) async fn transaction(
        &self,
        begin: &'static str,
        scope: Scope,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<DriverRow>>, Failed> {
        let at_start = |failure| Failed { statement: 0, failure };
        let connection = self.connection().await.map_err(at_start)?;
        let task = tokio::spawn(transact(connection, begin, scope, statements));
        task.await.unwrap_or_else(|error| Err(at_start(Failure::Lost(error.to_string()))))
    }

    /// Runs statements that only read, for a workspace.
    pub(crate) async fn read(
        &self,
        scope: Scope,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<DriverRow>>, Failure> {
        let mut again = true;
        loop {
            match self.transaction("BEGIN READ ONLY", scope, statements.clone()).await {
                // A connection that died while it lay idle tells so only when it is used.
                Err(Failed { failure: Failure::Lost(_), .. }) if again => again = false,
                result => return result.map_err(|failed| failed.failure),
            }
        }
    }

    /// Runs one statement outside of any workspace.
    pub(crate) async fn query(&self, statement: Statement) -> Result<Vec<DriverRow>, Failure> {
        let connection = self.connection().await?;
        statement.load(&connection).await.map_err(Failure::from)
    }

    /// Asks PostgreSQL how it is.
    pub(crate) async fn probe(&self) -> Result<(), Failure> {
        let answer = async {
            let connection = self.any_connection().await?;
            Statement::fixed("SELECT 1").load(&connection).await.map_err(Failure::from)
        };
        let answer = tokio::time::timeout(CONNECT, answer).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::Away("PostgreSQL does not answer".to_owned())));
        // That all connections are in use says that it is there.
        self.set_up(matches!(answer, Ok(_) | Err(Failure::Busy)));
        answer.map(drop)
    }

    /// Asks PostgreSQL how it is, again and again.
    pub(crate) async fn watch(&self, every: Duration) {
        loop {
            let _ = self.probe().await;
            self.tell_pool();
            tokio::time::sleep(every).await;
        }
    }

    fn tell_pool(&self) {
        let status = self.pool.status();
        for (name, count) in [
            ("artel_persist_pool_connections", status.size),
            ("artel_persist_pool_idle", status.available),
            ("artel_persist_pool_waiting", status.waiting),
        ] {
            metrics::gauge!(name, "role" => Arc::clone(&self.role)).set(count as f64);
        }
    }

    fn set_up(&self, up: bool) {
        let changed = self.up.send_if_modified(|before| std::mem::replace(before, up) != up);
        if changed && up {
            tracing::info!(role = &*self.role, "the database answers again");
        } else if changed {
            tracing::error!(role = &*self.role, "the database is away");
        }
        metrics::gauge!(self.gauge).set(if up { 1.0 } else { 0.0 });
    }
}

/// How every connection is made.
pub(crate) fn config(url: &Secret) -> anyhow::Result<tokio_postgres::Config> {
    let mut config: tokio_postgres::Config = url.reveal().parse()?;
    // Statements are few and their plans do not depend on the values: plan each once.
    let own = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
    config
        .options(format!("{own}-c plan_cache_mode=force_generic_plan -c jit=off -c timezone=UTC"))
        .application_name("artel-persist")
        .connect_timeout(CONNECT);
    Ok(config)
}

async fn connect(config: tokio_postgres::Config) -> Result<AsyncPgConnection, ConnectionError> {
    let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(error.to_string());
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(bad)?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

async fn transact(
    connection: Object<AsyncPgConnection>,
    begin: &'static str,
    scope: Scope,
    statements: Vec<Statement>,
) -> Result<Vec<Vec<DriverRow>>, Failed> {
    let count = statements.len();
    let frame = [transaction::begin(begin), transaction::settings(scope)];
    let all = frame.into_iter().chain(statements).chain([transaction::commit()]).collect();
    match Transaction::on(connection, scope.time).run(all, Go::End).await {
        Ok(mut rows) => {
            rows.truncate(count + 2);
            Ok(rows.split_off(2))
        }
        Err(failed) => Err(Failed { statement: failed.statement.saturating_sub(2), ..failed }),
    }
}

impl Scope {
    /// The scope of a call: its workspace, its trace, and what is left of its time.
    pub(crate) fn new(caller: &Caller, deadline: Option<Instant>, most: Duration) -> Self {
        let left = deadline.map_or(most, |deadline| deadline.saturating_duration_since(Instant::now()));
        let trace = uuid::Uuid::try_parse(&caller.trace).unwrap_or_default();
        Self { workspace: caller.workspace, time: left.min(most), trace }
    }

    /// The application's name in PostgreSQL: it says the trace.
    pub(crate) fn name(&self) -> String {
        format!("artel-persist {}", self.trace.simple())
    }
}
