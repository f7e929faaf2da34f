use std::{sync::LazyLock, time::Duration};

use deadpool_redis::redis::{Script, cmd};
use metrics::counter;

use crate::{
    link::{Away, Redis},
    local::Windows,
};

/// The highest limit, in hits a window. A higher one is taken as this.
pub const MOST_HITS: u32 = 10_000;
/// The longest window. A longer one is taken as this, a shorter one than a millisecond as a millisecond.
pub const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// What a refused caller is told to wait when nobody can count.
const WITHOUT_COUNT: Duration = Duration::from_secs(1);

static HIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("hit.lua")));

/// What happens while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Each process counts for itself, so that the limit holds for each rather than for all: for what must go on.
    Allow,
    /// Nothing is allowed: for what must not be tried without limit, such as passwords.
    Deny,
}

/// The answer to a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Hits that would be allowed now.
    pub remaining: u32,
    /// How long until a hit is allowed; zero if this one was.
    pub retry_after: Duration,
    /// Whether all processes were counted together. False while Redis is away.
    pub shared: bool,
}

/// Counts hits by key over all processes in an exact sliding window: at no moment have more than `limit` hits been
/// allowed in the `window` before it. A refused hit does not count.
#[derive(Debug, Clone)]
pub struct Throttle {
    redis: Redis,
    name: String,
    on_failure: OnFailure,
    windows: Windows,
}

impl Throttle {
    /// The throttle called `name`, the same for all processes that name it so: `identity.login`.
    #[must_use]
    pub fn new(redis: Redis, name: &str, on_failure: OnFailure) -> Self {
        Self { redis, name: name.to_owned(), on_failure, windows: Windows::new(LONGEST_WINDOW) }
    }

    /// Asks whether one more may happen for `key`, and counts it if so. One round trip. Every caller of a key should
    /// give the same limit and window; a limit of 0 allows nothing.
    pub async fn hit(&self, key: &str, limit: u32, window: Duration) -> Decision {
        let limit = limit.min(MOST_HITS);
        let window = window.clamp(Duration::from_millis(1), LONGEST_WINDOW);
        let decision = match self.shared(key, limit, window, true).await {
            Ok(decision) => decision,
            Err(Away) => self.without_redis(key, limit, window, true).await,
        };
        let (result, by) = (
            if decision.allowed { "allowed" } else { "refused" },
            if decision.shared { "all" } else { "process" },
        );
        let labels = [("throttle", self.name.clone()), ("result", result.into()), ("counted", by.into())];
        counter!("artel_throttle_hits_total", &labels).increment(1);
        decision
    }

    /// Says whether a hit would be allowed, and counts none: for what only counts when it fails.
    pub async fn look(&self, key: &str, limit: u32, window: Duration) -> Decision {
        let limit = limit.min(MOST_HITS);
        let window = window.clamp(Duration::from_millis(1), LONGEST_WINDOW);
        match self.shared(key, limit, window, false).await {
            Ok(decision) => decision,
            Err(Away) => self.without_redis(key, limit, window, false).await,
        }
    }

    /// Forgets the hits of `key`, as after a success.
    pub async fn forget(&self, key: &str) {
        // Both, as some may have been counted while Redis was away.
        self.windows.forget(key).await;
        let _ = self.redis.command::<u64>(cmd("DEL").arg(self.key(key))).await;
    }

    fn key(&self, key: &str) -> String {
        format!("artel:throttle:{}:{key}", self.name)
    }

    async fn shared(&self, key: &str, limit: u32, window: Duration, count: bool) -> Result<Decision, Away> {
        let mut hit = HIT.key(self.key(key));
        hit.arg(limit).arg(window.as_micros() as u64).arg(u8::from(count));
        let (allowed, remaining, wait) = self.redis.script::<(bool, u32, u64)>(&hit).await?;
        Ok(Decision { allowed, remaining, retry_after: Duration::from_micros(wait), shared: true })
    }

    async fn without_redis(&self, key: &str, limit: u32, window: Duration, count: bool) -> Decision {
        let (allowed, remaining, retry_after) = match self.on_failure {
            OnFailure::Allow => self.windows.hit(key, limit, window, count).await,
            OnFailure::Deny => (false, 0, WITHOUT_COUNT),
        };
        Decision { allowed, remaining, retry_after, shared: false }
    }
}
