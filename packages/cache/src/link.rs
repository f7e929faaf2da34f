use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use deadpool_redis::{
    Connection, Manager, Pool, Runtime, Timeouts,
    redis::{
        AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ScriptInvocation,
        ServerErrorKind, aio::MultiplexedConnection, cmd,
    },
};
use metrics::{counter, gauge};
use tokio::{sync::watch, time::Instant};

/// How long Redis is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For a connection, and for an answer. The first callers after Redis fell silent wait this long, no others.
    pub patience: Duration,
    /// Between two looks whether Redis is back.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { patience: Duration::from_millis(500), retry: Duration::from_millis(250) }
    }
}

/// The address is no Redis address.
#[derive(Debug, thiserror::Error)]
#[error("the Redis address is not redis://[user:password@]host[:port][/database]: {0}")]
pub struct OpenError(String);

/// A Redis server, connected when it is first needed. Clones share the connection.
///
/// When a command fails for want of a server, no other is tried until a task in the background has got through
/// again: callers meet [`Away`] at once and lose no time.
#[derive(Clone)]
pub struct Redis(Arc<Link>);

/// There is no answer to be had from Redis now. Logged and counted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away;

struct Link {
    /// Makes connections and checks them. Each checkout costs a round trip for the check, so that one connection
    /// is kept out and shared: it carries everybody's commands at once.
    pool: Pool,
    kept: Mutex<Option<Connection>>,
    connecting: tokio::sync::Mutex<()>,
    up: watch::Sender<bool>,
    timing: Timing,
    complained: Mutex<Option<Instant>>,
}

impl Redis {
    /// For `redis://[user:password@]host[:port][/database]`. Doesn't connect yet, so it succeeds without a server.
    ///
    /// # Errors
    ///
    /// The address cannot be read.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_with(url, Timing::default())
    }

    /// As [`Redis::open`], with other waits.
    ///
    /// # Errors
    ///
    /// The address cannot be read.
    pub fn open_with(url: &str, timing: Timing) -> Result<Self, OpenError> {
        // The cause names the part that is wrong and never the address, which may hold a password.
        let invalid = |error: &dyn fmt::Display| OpenError(error.to_string());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timing.patience))
            .set_response_timeout(Some(timing.patience));
        let manager = Manager::new_with_config(url, config).map_err(|error| invalid(&error))?;
        let patience = Some(timing.patience);
        let pool = Pool::builder(manager)
            .max_size(1)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: patience, create: patience, recycle: patience })
            .build()
            .map_err(|error| invalid(&error))?;
        Ok(Self(Arc::new(Link {
            pool,
            kept: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            up: watch::Sender::new(true),
            timing,
            complained: Mutex::default(),
        })))
    }

    /// Whether Redis answered when it was last asked; true before the first time.
    #[must_use]
    pub fn is_up(&self) -> bool {
        *self.0.up.borrow()
    }

    /// [`Redis::is_up`] as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.0.up.subscribe()
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        self.judge(answer)
    }

    pub(crate) async fn script<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Away> {
        let mut connection = self.connection().await?;
        let answer = script.invoke_async(&mut connection).await;
        self.judge(answer)
    }

    async fn connection(&self) -> Result<MultiplexedConnection, Away> {
        if !self.is_up() {
            return Err(Away);
        }
        if let Some(connection) = self.0.shared() {
            return Ok(connection);
        }
        let _one_at_a_time = self.0.connecting.lock().await;
        if !self.is_up() {
            return Err(Away);
        }
        match self.0.shared() {
            Some(connection) => Ok(connection),
            None => self.0.connect().await.map_err(|error| self.lost(&error)),
        }
    }

    fn judge<T>(&self, answer: RedisResult<T>) -> Result<T, Away> {
        answer.map_err(|error| match is_away(&error) {
            true => self.lost(&error),
            false => self.0.complain(&error),
        })
    }

    /// Marks Redis as away and looks for it in the background, where nobody has done so yet.
    fn lost(&self, error: &dyn fmt::Display) -> Away {
        counter!("artel_redis_errors_total", "kind" => "away").increment(1);
        if self.0.up.send_if_modified(|up| std::mem::replace(up, false)) {
            tracing::warn!(%error, "redis is away, working without it");
            gauge!("artel_redis_connected").set(0.0);
            // The connection goes back to the pool, which throws it out when it is dead.
            drop(self.0.kept().take());
            tokio::spawn(look_for(Arc::downgrade(&self.0), self.0.timing.retry));
        }
        Away
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Redis").field("up", &self.is_up()).finish_non_exhaustive()
    }
}

impl Link {
    fn kept(&self) -> MutexGuard<'_, Option<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> Option<MultiplexedConnection> {
        self.kept().as_ref().map(|connection| connection.as_ref().clone())
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let mut connection = self.pool.get().await.map_err(|error| error.to_string())?;
        // A server that is still loading its data takes connections already.
        cmd("PING").exec_async(&mut connection).await.map_err(|error| error.to_string())?;
        let shared = connection.as_ref().clone();
        *self.kept() = Some(connection);
        gauge!("artel_redis_connected").set(1.0);
        Ok(shared)
    }

    /// Redis is there and does not do what it is told: out of memory, no permission. Said once a minute at most.
    fn complain(&self, error: &RedisError) -> Away {
        counter!("artel_redis_errors_total", "kind" => "refused").increment(1);
        let mut last = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() > Duration::from_secs(60)) {
            *last = Some(Instant::now());
            tracing::warn!(%error, "redis refused a command");
        }
        Away
    }
}

async fn look_for(link: Weak<Link>, retry: Duration) {
    let since = Instant::now();
    loop {
        tokio::time::sleep(retry).await;
        let Some(link) = link.upgrade() else { return };
        if link.connect().await.is_ok() {
            tracing::info!(away_ms = since.elapsed().as_millis() as u64, "redis is back");
            link.up.send_replace(true);
            return;
        }
    }
}

fn is_away(error: &RedisError) -> bool {
    let not_serving = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
                | ServerErrorKind::ClusterDown
        )
    );
    not_serving
        || error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_connection_refusal()
        || error.is_unrecoverable_error()
}
