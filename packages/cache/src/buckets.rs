use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use deadpool_redis::redis::Script;
use metrics::counter;
use tokio::time::Instant;

use crate::{
    link::{Away, Redis},
    throttle::LONGEST_WINDOW,
};

/// Buckets of this process alone that are kept at most; the least used are forgotten first.
const MOST_KEYS: u64 = 100_000;

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("take.lua")));

/// So many in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1; a lower one is taken as 1.
    pub count: u32,
    /// From a millisecond to [`LONGEST_WINDOW`]; others are taken as the nearer of the two.
    pub period: Duration,
}

/// A bucket to take one from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its name among all that the same [`Buckets`] hold.
    pub key: String,
    /// Its size, and how fast it is filled again.
    pub rate: Rate,
    /// The same while Redis is away and each process has a bucket of its own.
    pub alone: Rate,
}

/// What a bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Whether there was one to take.
    pub allowed: bool,
    /// How many it holds when full.
    pub size: u32,
    /// How many are left.
    pub remaining: u32,
    /// How long until there is one; zero where there was.
    pub retry_after: Duration,
    /// How long until it is full again if nobody takes any more.
    pub full_after: Duration,
}

/// The answer of all buckets of one [`Buckets::take`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Whether one was taken from each; else none was from any.
    pub allowed: bool,
    /// What each says, in the order asked.
    pub levels: Vec<Level>,
    /// Whether all processes take from the same buckets. False while Redis is away.
    pub shared: bool,
}

/// Buckets by key over all processes. A full one gives its whole size at once and is filled again evenly over its
/// period, so that in any time `t` no more than `count + count * t / period` are taken. A bucket is one number in Redis,
/// whatever its size, where a [`crate::Throttle`] remembers every hit.
///
/// All buckets of one name share a hash slot (`{name}`): one script may only touch keys of one node of a Redis Cluster.
#[derive(Debug, Clone)]
pub struct Buckets {
    redis: Redis,
    name: String,
    own: Own,
}

impl Buckets {
    /// The buckets called `name`, the same for all processes that name them so: `edge`.
    #[must_use]
    pub fn new(redis: Redis, name: &str) -> Self {
        Self { redis, name: name.to_owned(), own: Own::default() }
    }

    /// Takes one from every bucket, or none from any where one is empty. One round trip. Keys should differ.
    pub async fn take(&self, buckets: &[Bucket]) -> Taken {
        if buckets.is_empty() {
            return Taken { allowed: true, levels: Vec::new(), shared: true };
        }
        let (levels, shared) = match self.shared(buckets).await {
            Ok(levels) => (levels, true),
            Err(Away) => (self.own.take(buckets), false),
        };
        let taken = Taken { allowed: levels.iter().all(|level| level.allowed), levels, shared };
        let result = if taken.allowed { "allowed" } else { "refused" };
        let by = if taken.shared { "all" } else { "process" };
        let labels = [("throttle", self.name.clone()), ("result", result.into()), ("counted", by.into())];
        counter!("artel_throttle_hits_total", &labels).increment(1);
        taken
    }

    async fn shared(&self, buckets: &[Bucket]) -> Result<Vec<Level>, Away> {
        let mut take = TAKE.prepare_invoke();
        for bucket in buckets {
            let Pace { size, micros } = Pace::of(bucket.rate);
            take.key(format!("artel:bucket:{{{}}}:{}", self.name, bucket.key)).arg(size).arg(micros);
        }
        let answer = self.redis.script::<Vec<(bool, u32, u64, u64)>>(&take).await?;
        let level = |(bucket, (allowed, remaining, wait, full)): (&Bucket, _)| Level {
            allowed,
            size: Pace::of(bucket.rate).size,
            remaining,
            retry_after: Duration::from_micros(wait),
            full_after: Duration::from_micros(full),
        };
        Ok(buckets.iter().zip(answer).map(level).collect())
    }
}

/// A rate as it is counted.
#[derive(Debug, Clone, Copy)]
struct Pace {
    size: u32,
    /// In which one comes back. Rounded up: rather a little less than more.
    micros: u64,
}

impl Pace {
    fn of(rate: Rate) -> Self {
        let size = rate.count.max(1);
        let period = rate.period.clamp(Duration::from_millis(1), LONGEST_WINDOW).as_micros() as u64;
        Self { size, micros: period.div_ceil(u64::from(size)) }
    }
}

/// The buckets of this process alone, by the same rule as the shared ones.
#[derive(Debug, Clone)]
struct Own {
    begin: Instant,
    /// When each is full again, in microseconds since the beginning. Held by one at a time, so that one is taken from
    /// every bucket or from none.
    full: Arc<Mutex<moka::sync::Cache<String, u64>>>,
}

impl Default for Own {
    fn default() -> Self {
        let full = moka::sync::Cache::builder().max_capacity(MOST_KEYS).time_to_idle(LONGEST_WINDOW).build();
        Self { begin: Instant::now(), full: Arc::new(Mutex::new(full)) }
    }
}

impl Own {
    fn take(&self, buckets: &[Bucket]) -> Vec<Level> {
        let kept = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.begin.elapsed().as_micros() as u64;
        let looked: Vec<(Pace, u64, u64)> = buckets
            .iter()
            .map(|bucket| {
                let pace = Pace::of(bucket.alone);
                let empty = now + u64::from(pace.size) * pace.micros;
                // More than all is missing: that was taken by a lower limit, and is not owed by this one.
                let full = kept.get(&bucket.key).filter(|full| (now..=empty).contains(full)).unwrap_or(now);
                let missing = (full + pace.micros).saturating_sub(empty);
                (pace, full, missing)
            })
            .collect();
        let all = looked.iter().all(|(.., missing)| *missing == 0);
        let level = |(bucket, (pace, full, missing)): (&Bucket, (Pace, u64, u64))| {
            let full = if all { full + pace.micros } else { full };
            if all {
                kept.insert(bucket.key.clone(), full);
            }
            let gone = u32::try_from((full - now).div_ceil(pace.micros)).unwrap_or(u32::MAX);
            Level {
                allowed: missing == 0,
                size: pace.size,
                remaining: pace.size.saturating_sub(gone),
                retry_after: Duration::from_micros(missing),
                full_after: Duration::from_micros(full - now),
            }
        };
        buckets.iter().zip(looked).map(level).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(key: &str, count: u32) -> Bucket {
        let rate = Rate { count, period: Duration::from_secs(60) };
        Bucket { key: key.to_owned(), rate, alone: rate }
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_empties_at_once_and_fills_evenly() {
        let own = Own::default();
        let take = |count| own.take(&[bucket("a", count)])[0];
        for remaining in [2, 1, 0] {
            let level = take(3);
            assert_eq!((level.allowed, level.remaining), (true, remaining));
        }
        let level = take(3);
        assert_eq!((level.allowed, level.retry_after), (false, Duration::from_secs(20)));
        assert_eq!(level.full_after, Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(19)).await;
        assert_eq!(take(3).retry_after, Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(take(3).allowed);
        assert!(!take(3).allowed);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(take(3).remaining, 2, "it never holds more than its size");
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_limit_holds_at_once() {
        let own = Own::default();
        assert!(own.take(&[bucket("a", 1)])[0].allowed);
        assert!(!own.take(&[bucket("a", 1)])[0].allowed);
        let rate = Rate { count: 1000, period: Duration::from_secs(1) };
        let raised = Bucket { alone: rate, ..bucket("a", 1) };
        assert_eq!(own.take(std::slice::from_ref(&raised))[0].remaining, 999);
        assert_eq!(own.take(&[raised])[0].remaining, 998);
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_bucket_costs_the_others_nothing() {
        let own = Own::default();
        assert!(own.take(&[bucket("small", 1)])[0].allowed);
        for _ in 0..5 {
            let levels = own.take(&[bucket("large", 3), bucket("small", 1)]);
            assert_eq!((levels[0].allowed, levels[0].remaining, levels[1].allowed), (true, 3, false));
        }
        let levels = own.take(&[bucket("large", 3)]);
        assert_eq!((levels[0].allowed, levels[0].remaining), (true, 2));
    }
}
