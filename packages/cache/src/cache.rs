use std::{
    future::Future,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use deadpool_redis::redis::{Script, cmd};
use metrics::counter;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::link::{Away, Redis};

/// A load that takes longer than this is answered but not kept.
const LEASE: Duration = Duration::from_secs(60);

static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static STORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("store.lua")));
static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("forget.lua")));

/// Values of one namespace, kept in Redis between being loaded and their time to live.
///
/// * In a process, one load of a key runs at a time; who asks meanwhile waits for it.
/// * A value loaded before an invalidation is never kept after it, whichever process loads and whichever
///   invalidates: storing needs a lease that the invalidation takes away.
/// * Without Redis each value is loaded, still one load at a time.
///
/// The service's own process sees its invalidations at once, even those that could not be told to Redis: until
/// they can, it reads nothing of the namespace from there. Other processes see them when Redis does.
#[derive(Debug, Clone)]
pub struct Cache {
    redis: Redis,
    namespace: Arc<Namespace>,
    /// Keeps nothing; it joins those who load the same key.
    flights: moka::future::Cache<(u64, String), Bytes>,
}

#[derive(Debug)]
struct Namespace {
    name: String,
    /// Holds the version that is part of every key; another version forgets all.
    version_key: String,
    /// The braces keep a namespace on one node of a cluster.
    prefix: String,
    /// Counts invalidations, so that nobody joins a load that began before one.
    epoch: AtomicU64,
    /// Invalidations that Redis has not been told of, and those it was told of in the end.
    owed: AtomicU64,
    paid: AtomicU64,
}

/// Why a flight brought nothing.
enum Grounded<E> {
    Load(E),
    /// The value cannot be put into bytes, so that only the one who loaded it has it.
    Encode,
}

enum Found<T> {
    Value(T, Bytes),
    Missing { version: String, lease: String },
    Unreachable,
}

/// How values become bytes and come back.
struct Codec<T> {
    encode: fn(&T) -> Option<Bytes>,
    decode: fn(&Bytes) -> Option<T>,
}

impl Cache {
    /// The cache of `namespace`, the same for all processes that name it so. Namespaces are named by the service
    /// and what it keeps: `catalog.product`.
    #[must_use]
    pub fn new(redis: Redis, namespace: &str) -> Self {
        let namespace = Namespace {
            name: namespace.to_owned(),
            version_key: format!("artel:cache:{{{namespace}}}:version"),
            prefix: format!("artel:cache:{{{namespace}}}:"),
            epoch: AtomicU64::new(0),
            owed: AtomicU64::new(0),
            paid: AtomicU64::new(0),
        };
        let flights =
            moka::future::Cache::builder().max_capacity(10_000).time_to_live(Duration::ZERO).build();
        Self { redis, namespace: Arc::new(namespace), flights }
    }

    /// The value of `key`, from Redis or from `load`, kept as JSON for `ttl` (a millisecond at least). A value in
    /// Redis that is no `T`, from another release perhaps, is loaded anew.
    ///
    /// # Errors
    ///
    /// Those of `load`; whoever waited for the same load gets a clone. They are not kept.
    pub async fn get_or_load<T, E, F>(
        &self,
        key: &str,
        ttl: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<T, E>
    where
        T: Serialize + DeserializeOwned,
        E: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let codec = Codec {
            encode: |value| {
                serde_json::to_vec(value)
                    .inspect_err(|error| tracing::error!(%error, "a value has no JSON and is not kept"))
                    .map(Bytes::from)
                    .ok()
            },
            decode: |bytes| serde_json::from_slice(bytes).ok(),
        };
        self.fetch(key, ttl, load, codec).await
    }

    /// As [`Cache::get_or_load`], for bytes as they are.
    ///
    /// # Errors
    ///
    /// Those of `load`.
    pub async fn get_or_load_bytes<E, F>(
        &self,
        key: &str,
        ttl: Duration,
        load: impl FnOnce() -> F,
    ) -> Result<Bytes, E>
    where
        E: Clone + Send + Sync + 'static,
        F: Future<Output = Result<Bytes, E>>,
    {
        let codec =
            Codec { encode: |bytes: &Bytes| Some(bytes.clone()), decode: |bytes| Some(bytes.clone()) };
        self.fetch(key, ttl, load, codec).await
    }

    /// Forgets the value of `key`. Call it after the change is committed, and before its maker is answered.
    pub async fn invalidate(&self, key: &str) {
        let mut forget = FORGET.key(&self.namespace.version_key);
        forget.arg(&self.namespace.prefix).arg(key);
        let told = self.redis.script::<u64>(&forget).await;
        self.invalidated(told.map(|_| ()));
    }

    /// Forgets every value of the namespace, in one small step however many there are.
    pub async fn invalidate_all(&self) {
        let told = self.renew_version().await;
        self.invalidated(told);
    }

    fn invalidated(&self, told: Result<(), Away>) {
        if told.is_err() {
            self.namespace.owed.fetch_add(1, Ordering::SeqCst);
        }
        // After Redis has forgotten: a load that read the old value must not be joined from now on.
        self.namespace.epoch.fetch_add(1, Ordering::SeqCst);
    }

    async fn renew_version(&self) -> Result<(), Away> {
        let mut set = cmd("SET");
        set.arg(&self.namespace.version_key).arg(Uuid::now_v7().to_string());
        self.redis.command(&set).await
    }

    async fn fetch<T, E, F>(
        &self,
        key: &str,
        ttl: Duration,
        load: impl FnOnce() -> F,
        codec: Codec<T>,
    ) -> Result<T, E>
    where
        E: Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, E>>,
    {
        let (mut load, mut own) = (Some(load), None);
        let flight = async {
            let found = self.read(key, codec.decode).await;
            let seat = match found {
                Found::Value(value, bytes) => {
                    self.count("hit");
                    own = Some(value);
                    return Ok(bytes);
                }
                Found::Missing { version, lease } => {
                    self.count("miss");
                    Some((version, lease))
                }
                Found::Unreachable => {
                    self.count("bypass");
                    None
                }
            };
            // The flight runs once at most, and nobody else has taken the load.
            let Some(load) = load.take() else { return Err(Grounded::Encode) };
            let value = load().await.map_err(Grounded::Load)?;
            let bytes = (codec.encode)(&value);
            own = Some(value);
            let bytes = bytes.ok_or(Grounded::Encode)?;
            if let Some((version, lease)) = seat {
                self.store(key, ttl, &version, &lease, &bytes).await;
            }
            Ok(bytes)
        };
        let epoch = self.namespace.epoch.load(Ordering::SeqCst);
        let landed = self.flights.try_get_with((epoch, key.to_owned()), flight).await;
        if let Some(value) = own {
            return Ok(value);
        }
        let joined = match landed {
            Ok(bytes) => (codec.decode)(&bytes),
            Err(grounded) => match &*grounded {
                Grounded::Load(error) => return Err(error.clone()),
                Grounded::Encode => None,
            },
        };
        match (joined, load) {
            (Some(value), _) => {
                self.count("joined");
                Ok(value)
            }
            // The others' value cannot be had: a value of another type under the same key, or one with no bytes.
            (None, Some(load)) => {
                self.count("bypass");
                load().await
            }
            (None, None) => unreachable!("who has loaded has the value or the error"),
        }
    }

    async fn read<T>(&self, key: &str, decode: fn(&Bytes) -> Option<T>) -> Found<T> {
        if self.settle().await.is_err() {
            return Found::Unreachable;
        }
        let lease = Uuid::now_v7().to_string();
        let read = async |past: bool| {
            let mut read = READ.key(&self.namespace.version_key);
            read.arg(&self.namespace.prefix).arg(key).arg(&lease).arg(millis(LEASE)).arg(u8::from(past));
            self.redis.script::<(String, Option<Bytes>)>(&read).await
        };
        let (mut version, value) = match read(false).await {
            Ok((version, value)) => (version, value),
            Err(Away) => return Found::Unreachable,
        };
        if let Some(bytes) = value {
            if let Some(value) = decode(&bytes) {
                return Found::Value(value, bytes);
            }
            tracing::debug!(namespace = self.namespace.name, key, "a kept value cannot be read, loading it");
            match read(true).await {
                Ok((now, _)) => version = now,
                Err(Away) => return Found::Unreachable,
            }
        }
        Found::Missing { version, lease }
    }

    async fn store(&self, key: &str, ttl: Duration, version: &str, lease: &str, bytes: &Bytes) {
        let mut store = STORE.key(&self.namespace.version_key);
        store.arg(&self.namespace.prefix).arg(key).arg(version).arg(lease).arg(&bytes[..]).arg(millis(ttl));
        if let Ok(0) = self.redis.script::<u64>(&store).await {
            self.count("overtaken");
        }
    }

    /// Tells Redis of the invalidations it has missed, by forgetting all of the namespace.
    async fn settle(&self) -> Result<(), Away> {
        let owed = self.namespace.owed.load(Ordering::SeqCst);
        if self.namespace.paid.load(Ordering::SeqCst) < owed {
            self.renew_version().await?;
            self.namespace.paid.fetch_max(owed, Ordering::SeqCst);
        }
        Ok(())
    }

    fn count(&self, result: &'static str) {
        counter!("artel_cache_lookups_total", "cache" => self.namespace.name.clone(), "result" => result)
            .increment(1);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1 << 50)
}
