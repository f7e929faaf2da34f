use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use artel_cache::{Cache, OnFailure, Redis, Throttle, Timing};
use tokio::time::Instant;
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::support::{LONG, Server, Source, fresh, process, until};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts what is said to operators.
struct Warnings(Arc<AtomicU32>);

impl<S: tracing::Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let ours = event.metadata().target().starts_with("artel_cache");
        if ours && *event.metadata().level() <= tracing::Level::WARN {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn without_redis_everything_is_loaded_and_it_is_said_once() {
    let warnings = Arc::new(AtomicU32::new(0));
    let subscriber = tracing_subscriber::registry().with(Warnings(warnings.clone()));
    let _said = tracing::subscriber::set_default(subscriber);

    let mut server = Server::start().await;
    let redis = process(&server.url);
    let (cache, source) = (Cache::new(redis.clone(), &fresh("killed")), Source::default());
    for _ in 0..2 {
        assert_eq!(cache.get_or_load("1", LONG, || source.load(1)).await, Ok(1));
    }
    assert_eq!((source.loads(), redis.is_up()), (1, true));

    server.kill();
    let began = Instant::now();
    for n in 2..202 {
        assert_eq!(cache.get_or_load("1", LONG, || source.load(n)).await, Ok(n));
    }
    assert_eq!((source.loads(), redis.is_up()), (201, false));
    assert!(began.elapsed() < Duration::from_secs(1), "200 loads took {:?}", began.elapsed());
    assert_eq!(warnings.load(Ordering::SeqCst), 1);

    server.resume().await;
    let mut watch = redis.watch();
    tokio::time::timeout(MINUTE, watch.wait_for(|up| *up)).await.expect("it is back").unwrap();
    assert_eq!(cache.get_or_load("1", LONG, || source.load(0)).await, Ok(1), "what was kept before");
    server.kill();
    assert_eq!(cache.get_or_load("1", LONG, || source.load(3)).await, Ok(3));
    assert_eq!(warnings.load(Ordering::SeqCst), 2, "once for each absence");
}

#[tokio::test]
async fn an_invalidation_that_redis_missed_is_made_good() {
    let mut server = Server::start().await;
    let redis = process(&server.url);
    let (name, source) = (fresh("missed"), Source::default());
    let cache = Cache::new(redis.clone(), &name);
    let get = async |value: u32| cache.get_or_load("1", LONG, || source.load(value)).await.unwrap();
    assert_eq!(get(1).await, 1);
    server.kill();
    cache.invalidate("1").await;
    assert_eq!(get(2).await, 2);
    server.resume().await;
    until("redis is used again", async || redis.is_up()).await;
    assert_eq!(get(3).await, 3, "the old value is still in Redis and must not be seen");
    assert_eq!(get(4).await, 3);
    let theirs = Cache::new(process(&server.url), &name);
    assert_eq!(theirs.get_or_load("1", LONG, || source.load(5)).await, Ok(3));
}

#[tokio::test]
async fn a_silent_redis_costs_its_patience_once() {
    let server = Server::start().await;
    let timing = Timing { patience: Duration::from_millis(300), retry: Duration::from_millis(50) };
    let redis = Redis::open_with(&server.url, timing).unwrap();
    let (cache, source) = (Cache::new(redis.clone(), &fresh("silent")), Source::default());
    cache.get_or_load("1", LONG, || source.load(1)).await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    cache.get_or_load("1", LONG, || source.load(2)).await.unwrap();
    let first = began.elapsed();
    assert!(first >= timing.patience && first < timing.patience * 4, "{first:?}");
    let began = Instant::now();
    for n in 0..200 {
        cache.get_or_load(&n.to_string(), LONG, || source.load(n)).await.unwrap();
    }
    assert!(began.elapsed() < timing.patience, "200 loads took {:?}", began.elapsed());
    assert!(!redis.is_up());
    server.signal("-CONT");
    until("redis is used again", async || redis.is_up()).await;
    assert_eq!(cache.get_or_load("1", LONG, || source.load(0)).await, Ok(1));
}

#[tokio::test]
async fn a_throttle_without_redis_does_as_it_was_told() {
    let mut server = Server::start().await;
    let redis = process(&server.url);
    let lenient = Throttle::new(redis.clone(), &fresh("lenient"), OnFailure::Allow);
    let strict = Throttle::new(redis.clone(), &fresh("strict"), OnFailure::Deny);
    assert!(lenient.hit("a", 3, MINUTE).await.shared && strict.hit("a", 3, MINUTE).await.shared);

    server.kill();
    let decision = strict.hit("a", 3, MINUTE).await;
    assert!(!decision.allowed && !decision.shared && decision.retry_after > Duration::ZERO);
    for remaining in [2, 1, 0] {
        let decision = lenient.hit("a", 3, MINUTE).await;
        assert!(decision.allowed && !decision.shared);
        assert_eq!(decision.remaining, remaining);
    }
    let decision = lenient.hit("a", 3, MINUTE).await;
    assert!(!decision.allowed && decision.retry_after > Duration::from_secs(30));

    server.resume().await;
    until("redis is used again", async || redis.is_up()).await;
    let decision = strict.hit("a", 3, MINUTE).await;
    assert!(decision.allowed && decision.shared);
    assert_eq!(decision.remaining, 1, "the hit before counts on");
}

#[tokio::test]
async fn a_service_starts_without_redis_and_finds_it_later() {
    let mut server = Server::start().await;
    server.kill();
    let redis = process(&server.url);
    let (cache, source) = (Cache::new(redis.clone(), &fresh("later")), Source::default());
    assert_eq!(cache.get_or_load("1", LONG, || source.load(1)).await, Ok(1));
    assert!(!redis.is_up());
    server.resume().await;
    until("redis is used", async || redis.is_up()).await;
    for _ in 0..2 {
        assert_eq!(cache.get_or_load("1", LONG, || source.load(2)).await, Ok(2));
    }
}

#[test]
fn an_address_that_is_none_is_refused_without_showing_its_password() {
    for wrong in ["", "localhost", "http://localhost:6379", "redis://:hunter2@localhost:port"] {
        let error = Redis::open(wrong).unwrap_err().to_string();
        assert!(error.contains("redis://") && !error.contains("hunter2"), "{error}");
    }
}
