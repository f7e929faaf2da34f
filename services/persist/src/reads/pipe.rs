//! Connections that reads share: each read is sent when it comes, answers come in turn. A read is one statement and
//! its own transaction, so nothing of one is there for the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use futures::future::join_all;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, Row};

use super::Limits;
use crate::sql::Statement;

/// For how long a statement that took too long is not tried again on a shared connection.
const BANNED: Duration = Duration::from_secs(60);
/// For how long a connection that does not get on is left alone.
const REST: Duration = Duration::from_millis(500);

/// Why a read has to go another way.
#[derive(Debug)]
pub(super) enum Refused {
    /// None is connected, or all have enough to do.
    Busy,
    /// It took too long here a moment ago, or is none whose text is kept.
    Unfit,
    /// It was stopped, or waited for too long behind others.
    Slow,
    /// The connection was lost, or PostgreSQL said something else.
    Failed(tokio_postgres::Error),
}

impl Refused {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unfit => "unfit",
            Self::Slow => "slow",
            Self::Failed(_) => "failed",
        }
    }
}

/// The shared connections of a role.
pub(super) struct Pipes {
    slots: Vec<Arc<Slot>>,
    limits: Limits,
}

/// A place for a connection, made again when it is lost.
struct Slot {
    config: Config,
    pipe: RwLock<Option<Arc<Pipe>>>,
    connecting: AtomicBool,
    begin: Instant,
    /// Until when it is left alone, in milliseconds from `begin`.
    rests_until: AtomicU64,
    /// Reads under way.
    waiting: AtomicUsize,
}

struct Pipe {
    client: Client,
    /// By the texts of the statements.
    known: Mutex<HashMap<Arc<str>, Known>>,
}

#[derive(Clone)]
struct Known {
    statement: tokio_postgres::Statement,
    banned: Option<Instant>,
}

impl Pipes {
    pub(super) async fn open(mut config: Config, limits: Limits) -> Self {
        let own = config.get_options().map(|options| format!("{options} ")).unwrap_or_default();
        config.options(format!("{own}-c statement_timeout={}", limits.time.as_millis().max(1)));
        let slots = (0..limits.connections).map(|_| Arc::new(Slot::new(config.clone()))).collect::<Vec<_>>();
        join_all(slots.iter().map(|slot| slot.connect())).await;
        Self { slots, limits }
    }

    /// Runs a read within the time given.
    pub(super) async fn read(&self, time: Duration, statement: &Statement) -> Result<Vec<Row>, Refused> {
        if !statement.is_kept() {
            return Err(Refused::Unfit);
        }
        let (slot, pipe) = self.pick().ok_or(Refused::Busy)?;
        let _waiting = Waiting::begin(slot);
        // Its own time, and that of a slow one before it.
        let most = self.limits.time * 2;
        let begin = Instant::now();
        let result = tokio::time::timeout(time.min(most), pipe.run(statement)).await;
        statement.name().took(begin.elapsed());
        match result {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(Refused::Slow)) => {
                pipe.ban(statement);
                Err(Refused::Slow)
            }
            Ok(Err(refused)) => {
                if matches!(refused, Refused::Failed(_)) {
                    pipe.forget(statement);
                }
                Err(refused)
            }
            Err(_) => {
                if time >= most {
                    slot.rest();
                }
                Err(Refused::Slow)
            }
        }
    }

    /// The connection with the least to do.
    fn pick(&self) -> Option<(&Slot, Arc<Pipe>)> {
        let mut best: Option<(usize, &Slot, Arc<Pipe>)> = None;
        for slot in &self.slots {
            let pipe = slot.pipe.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(pipe) = pipe.filter(|pipe| !pipe.client.is_closed()) else {
                let slot = Arc::clone(slot);
                tokio::spawn(async move { slot.connect().await });
                continue;
            };
            let waiting = slot.waiting.load(Ordering::Relaxed);
            if waiting < best.as_ref().map_or(self.limits.depth, |best| best.0) && !slot.is_resting() {
                best = Some((waiting, slot, pipe));
            }
        }
        best.map(|(_, slot, pipe)| (slot, pipe))
    }
}

impl Slot {
    fn new(config: Config) -> Self {
        Self {
            config,
            pipe: RwLock::default(),
            connecting: AtomicBool::new(false),
            begin: Instant::now(),
            rests_until: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Connects, unless somebody does already. Where PostgreSQL is away the next read asks for it again.
    async fn connect(&self) {
        if self.connecting.swap(true, Ordering::AcqRel) {
            return;
        }
        let _connecting = Connecting(&self.connecting);
        match self.config.connect(NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                let pipe = Arc::new(Pipe { client, known: Mutex::default() });
                *self.pipe.write().unwrap_or_else(PoisonError::into_inner) = Some(pipe);
            }
            Err(error) => tracing::debug!(%error, "no shared connection for reads"),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn rest(&self) {
        self.rests_until.store(self.now() + REST.as_millis() as u64, Ordering::Relaxed);
    }

    fn is_resting(&self) -> bool {
        match self.rests_until.load(Ordering::Relaxed) {
            0 => false,
            until => self.now() < until,
        }
    }
}

impl Pipe {
    async fn run(&self, statement: &Statement) -> Result<Vec<Row>, Refused> {
        let prepared = self.prepared(statement).await?;
        let rows = self.client.query_raw(&prepared, statement.binds()).await.map_err(Refused::from)?;
        rows.try_collect().await.map_err(Refused::from)
    }

    async fn prepared(&self, statement: &Statement) -> Result<tokio_postgres::Statement, Refused> {
        let text = statement.text();
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return match known.banned {
                Some(until) if Instant::now() < until => Err(Refused::Unfit),
                _ => Ok(known.statement.clone()),
            };
        }
        let types: Vec<_> = statement.binds().iter().map(crate::sql::Bind::sql_type).collect();
        let prepared = self.client.prepare_typed(text, &types).await.map_err(Refused::from)?;
        let known = Known { statement: prepared.clone(), banned: None };
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(Arc::clone(text), known);
        Ok(prepared)
    }

    /// What was prepared may be what does not work: tables change.
    fn forget(&self, statement: &Statement) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(statement.text());
    }

    fn ban(&self, statement: &Statement) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get_mut(statement.text()) {
            known.banned = Some(Instant::now() + BANNED);
        }
    }
}

impl From<tokio_postgres::Error> for Refused {
    fn from(error: tokio_postgres::Error) -> Self {
        if error.code() == Some(&SqlState::QUERY_CANCELED) { Self::Slow } else { Self::Failed(error) }
    }
}

/// Counts a read that is under way, also where its caller goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(slot: &'a Slot) -> Self {
        slot.waiting.fetch_add(1, Ordering::Relaxed);
        Self(&slot.waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connecting<'a>(&'a AtomicBool);

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
