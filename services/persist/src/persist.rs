use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::ensure;
use artel_config::{Secret, Section};
use artel_proto::annotations;
use artel_proto::persist::Consistency;
use artel_queue::Lines;
use artel_util::Error;
use futures::future::{BoxFuture, OptionFuture};
use serde::Deserialize;

use crate::caller::Caller;
use crate::check;
use crate::commit::{Bounds, Committer};
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::history::{self, History, Keys, Log, Sealer, Verifier};
use crate::plan::Plans;
use crate::query::{Gets, Zones};
use crate::reads::{self, Reads};
use crate::relay::Wake;
use crate::replay::Resend;
use crate::replica::Replica;

/// The documented defaults of the section `[persist]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[persist]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) database_url: Secret,
    pub(crate) system_url: Secret,
    pub(crate) replica_url: Secret,
    /// Read by [`Settings::migration_url`] alone: the service never uses it.
    migration_url: Secret,
    pub(crate) connections: usize,
    pub(crate) pool_wait_ms: u64,
    pub(crate) statement_ms: u64,
    pub(crate) read_connections: usize,
    pub(crate) read_depth: usize,
    pub(crate) read_ms: u64,
    pub(crate) search_ranked: usize,
    pub(crate) commit_writers: usize,
    pub(crate) commit_lanes: usize,
    pub(crate) commit_group: usize,
    pub(crate) commit_group_kib: usize,
    pub(crate) commit_lock_ms: u64,
    pub(crate) commit_queue: usize,
    pub(crate) commit_queue_mib: usize,
    pub(crate) idempotency_days: i32,
    pub(crate) outbox_days: i32,
    pub(crate) relay_batch: usize,
    pub(crate) relay_pages: usize,
    pub(crate) relay_poll_ms: u64,
    pub(crate) sweep_minutes: u64,
    pub(crate) seal_key: Secret,
    pub(crate) seal_former_keys: Vec<String>,
    pub(crate) seal_ms: u64,
    pub(crate) seal_rows: usize,
    pub(crate) watch: history::Bounds,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;

    fn check(&self) -> anyhow::Result<()> {
        let within = |key: &str, value: u64, most: u64| {
            ensure!((1..=most).contains(&value), "persist.{key} must be 1 to {most}, is {value}");
            Ok(())
        };
        within("connections", self.connections as u64, 1_000)?;
        within("pool_wait_ms", self.pool_wait_ms, 60_000)?;
        within("statement_ms", self.statement_ms, 3_600_000)?;
        let shared = self.read_connections;
        ensure!(shared <= 100, "persist.read_connections must be 0 to 100, is {shared}");
        within("read_depth", self.read_depth as u64, 10_000)?;
        within("read_ms", self.read_ms, 10_000)?;
        within("search_ranked", self.search_ranked as u64, 1_000_000)?;
        within("commit_writers", self.commit_writers as u64, self.connections as u64)?;
        within("commit_lanes", self.commit_lanes as u64, 100)?;
        within("commit_group", self.commit_group as u64, 1_000)?;
        within("commit_group_kib", self.commit_group_kib as u64, 65_536)?;
        within("commit_lock_ms", self.commit_lock_ms, 60_000)?;
        within("commit_queue", self.commit_queue as u64, 1_000_000)?;
        within("commit_queue_mib", self.commit_queue_mib as u64, 4_096)?;
        within("idempotency_days", u64::try_from(self.idempotency_days).unwrap_or_default(), 3_650)?;
        within("outbox_days", u64::try_from(self.outbox_days).unwrap_or_default(), 3_650)?;
        within("relay_batch", self.relay_batch as u64, 10_000)?;
        within("relay_pages", self.relay_pages as u64, 64)?;
        within("relay_poll_ms", self.relay_poll_ms, 60_000)?;
        within("sweep_minutes", self.sweep_minutes, 1_440)?;
        within("seal_ms", self.seal_ms, 3_600_000)?;
        within("seal_rows", self.seal_rows as u64, 100_000)?;
        self.watch.check()
    }
}

impl Settings {
    /// Connects elsewhere: tests put a proxy in between.
    pub fn set_database_url(&mut self, url: Secret) {
        self.database_url = url;
    }

    /// Lets fewer commits wait: for tests of what happens then.
    pub fn set_commit_queue(&mut self, most: usize) {
        self.commit_queue = most;
    }

    /// Groups of one workspace at once, and commits in each.
    pub fn set_commit_groups(&mut self, lanes: usize, commits: usize) {
        (self.commit_lanes, self.commit_group) = (lanes, commits);
    }

    /// What the relay may have under way to the broker.
    pub(crate) fn lines(&self) -> Lines {
        Lines { channels: self.relay_pages, window: self.relay_batch }
    }

    /// How long a group waits for a row that somebody outside has locked, in milliseconds.
    pub fn set_commit_lock(&mut self, most: u64) {
        self.commit_lock_ms = most;
    }

    fn groups(&self) -> Bounds {
        Bounds {
            writers: self.commit_writers,
            lanes: self.commit_lanes,
            group: self.commit_group,
            group_bytes: self.commit_group_kib << 10,
            lock: Duration::from_millis(self.commit_lock_ms),
            aside: self.connections / 2,
            waiting: self.commit_queue,
            waiting_bytes: self.commit_queue_mib << 20,
        }
    }

    /// The same for the relay and the sweeper.
    pub fn set_system_url(&mut self, url: Secret) {
        self.system_url = url;
    }

    /// Shares connections between short reads in another way.
    pub fn share_reads(&mut self, connections: usize, depth: usize, milliseconds: u64) {
        (self.read_connections, self.read_depth, self.read_ms) = (connections, depth, milliseconds);
    }

    /// Ranks so many hits of a search at most.
    pub fn set_search_ranked(&mut self, most: usize) {
        self.search_ranked = most;
    }

    /// Looks for events that nobody told of less or more often.
    pub fn set_relay_poll(&mut self, every: Duration) {
        self.relay_poll_ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
    }

    /// Publishes fewer or more events together.
    pub fn set_relay_batch(&mut self, events: usize) {
        self.relay_batch = events;
    }

    /// A replica for reads that bear it.
    pub fn set_replica_url(&mut self, url: Secret) {
        self.replica_url = url;
    }

    /// The bounds of those who watch.
    pub fn watch_mut(&mut self) -> &mut history::Bounds {
        &mut self.watch
    }

    /// The key that seals the change log, and the public keys of those before it.
    pub fn set_seal_keys(&mut self, key: Secret, former: Vec<String>) {
        (self.seal_key, self.seal_former_keys) = (key, former);
    }

    /// Rows of a seal at most.
    pub fn set_seal_rows(&mut self, rows: usize) {
        self.seal_rows = rows;
    }

    /// How often the change log is sealed, in milliseconds.
    pub fn set_seal_ms(&mut self, every: u64) {
        self.seal_ms = every;
    }

    /// The URL of the role that owns the schema.
    #[must_use]
    pub fn migration_url(&self) -> &Secret {
        &self.migration_url
    }
}

/// What persist is made of.
pub(crate) struct Persist {
    /// As the role that row-level security binds.
    pub(crate) database: Database,
    /// As the role that sees all workspaces: the relay, the sweeper.
    pub(crate) system: Database,
    pub(crate) reads: Arc<Reads>,
    pub(crate) gets: Arc<Gets>,
    pub(crate) zones: Zones,
    /// For reads that bear what was true a moment ago.
    pub(crate) replica: Option<Arc<Replica>>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) history: Arc<History>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) committer: Committer,
    /// The longest a statement may take.
    pub(crate) time: Duration,
    /// Wakes the relay.
    pub(crate) wake: Arc<Wake>,
    /// The way to the queues of single services, once there is a broker.
    pub(crate) resend: OnceLock<Resend>,
}

impl Persist {
    /// Plans the entities, opens the database, and proves that it fits and that tenants are kept apart.
    pub(crate) async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let plans = Arc::new(Plans::of(annotations::pool())?);
        let keys = Arc::new(Keys::new(&settings.seal_key, &settings.seal_former_keys)?);
        let wait = Duration::from_millis(settings.pool_wait_ms);
        let database = Database::new(&settings.database_url, settings.connections, wait)?;
        let system = Database::new(&settings.system_url, SYSTEM_CONNECTIONS, wait)?;
        check::start(&database, &system, &plans).await?;
        let shared = reads::Limits {
            connections: settings.read_connections,
            depth: settings.read_depth,
            time: Duration::from_millis(settings.read_ms),
            ranked: settings.search_ranked,
        };
        let reads = Arc::new(Reads::open(&database, &settings.database_url, shared).await?);
        let gets = Arc::new(Gets::of(&plans));
        let time = Duration::from_millis(settings.statement_ms);
        let wake = Arc::<Wake>::default();
        let (writing, relay) = (database.clone(), Arc::clone(&wake));
        let committer = Committer::new(writing, Arc::clone(&plans), time, settings.groups(), relay);
        let replica = match &settings.replica_url {
            none if none.is_empty() => None,
            url => {
                let database = Database::new(url, settings.connections, wait)?.of_replica();
                Some(Replica::new(Reads::open(&database, url, shared).await?))
            }
        };
        let log = Log { reads: Arc::clone(&reads), gets: Arc::clone(&gets), plans: Arc::clone(&plans), time };
        let history = History::new(log, system.clone(), settings.watch);
        let verifier = Verifier { database: database.clone(), keys: Arc::clone(&keys) };
        Ok(Self {
            database,
            system,
            reads,
            gets,
            zones: Zones::default(),
            replica,
            plans,
            history: Arc::new(history),
            verifier: Arc::new(verifier),
            committer,
            time,
            wake,
            resend: OnceLock::new(),
        })
    }

    /// Asks PostgreSQL how it is, again and again.
    pub(crate) async fn watch(self: Arc<Self>) {
        let replica = OptionFuture::from(self.replica.clone().map(Replica::watch));
        futures::join!(self.database.watch(PROBE), self.system.watch(PROBE), replica);
    }

    /// What seals the change log, of all copies in one.
    pub(crate) fn sealer(&self, settings: &Settings) -> Sealer {
        let every = Duration::from_millis(settings.seal_ms);
        Sealer::new(self.system.clone(), Arc::clone(&self.verifier.keys), every, settings.seal_rows)
    }

    /// What a replica answers where a read allows for it; `None` where the primary is to be asked.
    pub(crate) async fn stale<'a, T>(
        &'a self,
        consistency: Option<&Consistency>,
        ask: impl FnOnce(&'a Reads) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        self.replica.as_ref()?.answer(consistency, ask).await
    }

    /// The scope of a read for this caller; refused where its time is up.
    pub(crate) fn scope(&self, caller: &Caller) -> Result<Scope, Error> {
        let scope = Scope::new(caller, caller.deadline, self.time);
        if scope.time.is_zero() { Err(Failure::Timeout.into()) } else { Ok(scope) }
    }
}

/// How often PostgreSQL is asked whether it is there.
const PROBE: Duration = Duration::from_secs(1);

/// The relay and how it hears of others, the sweeper, a few for replays, the sealer, and the reader of the change log.
const SYSTEM_CONNECTIONS: usize = 8;
