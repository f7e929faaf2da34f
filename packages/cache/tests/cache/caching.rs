use std::{collections::HashMap, future::Future, time::Duration};

use artel_cache::Cache;
use bytes::Bytes;
use deadpool_redis::redis::{aio::MultiplexedConnection, cmd};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};

use crate::support::{LONG, PATIENCE, Source, any_redis, fresh, process, raw, until};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Product {
    name: String,
    price: i64,
}

fn teapot() -> Product {
    Product { name: "Чайник".into(), price: 12_900 }
}

#[tokio::test]
async fn what_one_process_loaded_the_other_has() {
    let (url, _server) = any_redis().await;
    let (name, source) = (fresh("shared"), Source::default());
    let (ours, theirs) = (Cache::new(process(&url), &name), Cache::new(process(&url), &name));
    for cache in [&ours, &ours, &theirs, &theirs] {
        let product = cache.get_or_load("1", LONG, || source.load(teapot())).await;
        assert_eq!(product, Ok(teapot()));
    }
    assert_eq!(source.loads(), 1);
    let other = Cache::new(process(&url), &fresh("shared"));
    other.get_or_load("1", LONG, || source.load(teapot())).await.unwrap();
    assert_eq!(source.loads(), 2, "another namespace");

    let image = Bytes::from_static(b"\x00\xff\r\n");
    for cache in [&ours, &theirs] {
        let kept = cache.get_or_load_bytes("image", LONG, || source.load(image.clone())).await;
        assert_eq!(kept, Ok(image.clone()));
    }
    assert_eq!(source.loads(), 3);
}

#[tokio::test]
async fn a_value_lives_as_long_as_it_was_given() {
    let (url, _server) = any_redis().await;
    let (cache, source) = (Cache::new(process(&url), &fresh("ttl")), Source::default());
    let ttl = Duration::from_millis(300);
    let began = tokio::time::Instant::now();
    until("the value is loaded again", async || {
        cache.get_or_load("1", ttl, || source.load(1)).await.unwrap();
        source.loads() > 1
    })
    .await;
    assert!(began.elapsed() >= ttl);
}

#[tokio::test]
async fn one_load_serves_all_who_ask_meanwhile() {
    let (url, _server) = any_redis().await;
    let (cache, source) = (Cache::new(process(&url), &fresh("flight")), Source::default());
    let (started, go) = (Notify::new(), Notify::new());
    let slow = || async {
        started.notify_one();
        go.notified().await;
        source.load(7).await
    };
    let askers = join_all((0..100).map(|_| cache.get_or_load("1", LONG, slow)));
    let (answers, ()) = tokio::join!(askers, async {
        started.notified().await;
        go.notify_waiters();
    });
    assert!(answers.iter().all(|answer| *answer == Ok(7)));
    assert_eq!(source.loads(), 1);
    // It was joined, not kept in the process: without the value in Redis it is loaded again.
    cache.invalidate("1").await;
    assert_eq!(cache.get_or_load("1", LONG, || source.load(8)).await, Ok(8));
}

#[tokio::test]
async fn an_error_is_shared_by_those_who_wait_and_never_kept() {
    let (url, _server) = any_redis().await;
    let (cache, source) = (Cache::new(process(&url), &fresh("errors")), Source::default());
    let (started, go) = (Notify::new(), Notify::new());
    let fails = || async {
        started.notify_one();
        go.notified().await;
        source.load(0).await.and(Err::<u32, _>("no such product".to_owned()))
    };
    let askers = join_all((0..10).map(|_| cache.get_or_load("1", LONG, fails)));
    let (answers, ()) = tokio::join!(askers, async {
        started.notified().await;
        go.notify_waiters();
    });
    assert!(answers.iter().all(|answer| *answer == Err("no such product".to_owned())));
    assert_eq!(source.loads(), 1);
    assert_eq!(cache.get_or_load("1", LONG, || source.load(5)).await, Ok(5));
}

#[tokio::test]
async fn a_caller_who_gives_up_leaves_the_load_to_the_next() {
    let (url, _server) = any_redis().await;
    let (cache, source) = (Cache::new(process(&url), &fresh("cancelled")), Source::default());
    let started = Notify::new();
    let never = || async {
        started.notify_one();
        std::future::pending::<Result<u32, String>>().await
    };
    let gives_up = async {
        tokio::select! {
            _ = cache.get_or_load("1", LONG, never) => panic!("it never loads"),
            () = started.notified() => {}
        }
    };
    let (begun, begin) = oneshot::channel::<()>();
    let waits = async {
        begin.await.unwrap();
        cache.get_or_load("1", LONG, || source.load(9)).await
    };
    let first = async {
        begun.send(()).unwrap();
        gives_up.await;
    };
    let ((), answer) = tokio::join!(first, waits);
    assert_eq!(answer, Ok(9));
}

/// Cache-aside without leases: read, load, write.
async fn naive(redis: &mut MultiplexedConnection, key: &str, load: impl Future<Output = String>) -> String {
    let kept: Option<String> = cmd("GET").arg(key).query_async(redis).await.unwrap();
    if let Some(kept) = kept {
        return kept;
    }
    let loaded = load.await;
    cmd("SET").arg(key).arg(&loaded).arg("EX").arg(60).exec_async(redis).await.unwrap();
    loaded
}

/// A load that reads the old value and is slow: says when it has read, and goes on when it is told to.
struct Slow {
    read: Notify,
    go: Notify,
}

impl Slow {
    fn new() -> Self {
        Self { read: Notify::new(), go: Notify::new() }
    }

    async fn load(&self) -> String {
        self.read.notify_one();
        self.go.notified().await;
        "old".to_owned()
    }

    /// Changes and invalidates while the load is on its way.
    async fn overtake(&self, invalidate: impl Future<Output = ()>) {
        self.read.notified().await;
        invalidate.await;
        self.go.notify_one();
    }
}

#[tokio::test]
async fn a_value_loaded_before_an_invalidation_is_not_kept_after_it() {
    let (url, _server) = any_redis().await;
    let name = fresh("stale");
    let (ours, theirs) = (Cache::new(process(&url), &name), Cache::new(process(&url), &name));
    for whole_namespace in [false, true] {
        let key = if whole_namespace { "all" } else { "one" };
        let slow = Slow::new();
        let load = ours.get_or_load(key, LONG, async || Ok::<_, String>(slow.load().await));
        let (answer, ()) = tokio::join!(
            load,
            slow.overtake(async {
                match whole_namespace {
                    true => theirs.invalidate_all().await,
                    false => theirs.invalidate(key).await,
                }
            })
        );
        assert_eq!(answer.as_deref(), Ok("old"), "who asked before the change may see what was before");
        for cache in [&ours, &theirs] {
            let now = cache.get_or_load(key, LONG, || async { Ok::<_, String>("new".to_owned()) }).await;
            assert_eq!(now.as_deref(), Ok("new"));
        }
    }

    // The negative control: without leases the same order of things keeps the old value.
    let (mut ours, mut theirs, key, slow) = (raw(&url).await, raw(&url).await, fresh("naive"), Slow::new());
    let _ = tokio::join!(
        naive(&mut ours, &key, slow.load()),
        slow.overtake(async { cmd("DEL").arg(&key).exec_async(&mut theirs).await.unwrap() })
    );
    assert_eq!(naive(&mut theirs, &key, async { "new".to_owned() }).await, "old");
}

#[tokio::test]
async fn nobody_joins_a_load_that_began_before_their_own_invalidation() {
    let (url, _server) = any_redis().await;
    let cache = Cache::new(process(&url), &fresh("joined"));
    let (read, go) = (Notify::new(), Notify::new());
    let before = cache.get_or_load("1", LONG, || async {
        read.notify_one();
        go.notified().await;
        Ok::<_, String>(1)
    });
    let both = async {
        tokio::join!(before, async {
            read.notified().await;
            cache.invalidate("1").await;
            let new = cache.get_or_load("1", LONG, || async { Ok::<_, String>(2) }).await;
            go.notify_one();
            new
        })
    };
    // Who joined the load before would wait for itself.
    let (old, new) = tokio::time::timeout(PATIENCE, both).await.expect("it joined the load before");
    assert_eq!((old, new), (Ok(1), Ok(2)));
    assert_eq!(cache.get_or_load("1", LONG, || async { Err::<u32, _>("kept".to_owned()) }).await, Ok(2));
}

#[tokio::test]
async fn a_namespace_is_forgotten_at_once_and_for_good() {
    let (url, _server) = any_redis().await;
    let (name, source) = (fresh("version"), Source::default());
    let cache = Cache::new(process(&url), &name);
    let get = async |key: u32| cache.get_or_load(&key.to_string(), LONG, || source.load(key)).await.unwrap();
    for _ in 0..2 {
        for key in 0..50 {
            assert_eq!(get(key).await, key);
        }
    }
    assert_eq!(source.loads(), 50);
    cache.invalidate_all().await;
    get(1).await;
    assert_eq!(source.loads(), 51);
    // Redis may throw the version out when it is short of memory; what it guarded must not come back.
    let mut redis = raw(&url).await;
    let gone: u32 =
        cmd("DEL").arg(format!("artel:cache:{{{name}}}:version")).query_async(&mut redis).await.unwrap();
    assert_eq!(gone, 1);
    get(1).await;
    get(2).await;
    assert_eq!(source.loads(), 53);
}

#[tokio::test]
async fn a_value_of_another_release_is_loaded_anew_and_kept() {
    let (url, _server) = any_redis().await;
    let (cache, source) = (Cache::new(process(&url), &fresh("release")), Source::default());
    cache.get_or_load("1", LONG, || source.load("a name only".to_owned())).await.unwrap();
    for _ in 0..2 {
        assert_eq!(cache.get_or_load("1", LONG, || source.load(teapot())).await, Ok(teapot()));
    }
    assert_eq!(source.loads(), 2);
    // What has no JSON is answered and not kept.
    let odd = HashMap::from([((1, 1), 1)]);
    for _ in 0..2 {
        assert_eq!(cache.get_or_load("odd", LONG, || source.load(odd.clone())).await, Ok(odd.clone()));
    }
    assert_eq!(source.loads(), 4);
}
