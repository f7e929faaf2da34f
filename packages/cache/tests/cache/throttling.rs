use std::time::Duration;

use artel_cache::{OnFailure, Throttle};
use deadpool_redis::redis::{aio::MultiplexedConnection, cmd};
use futures::future::join_all;
use tokio::time::Instant;

use crate::support::{any_redis, fresh, process, raw};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn hits_are_counted_over_processes_and_the_answer_says_when() {
    let (url, _server) = any_redis().await;
    let name = fresh("count");
    let [ours, theirs] = [(); 2].map(|()| Throttle::new(process(&url), &name, OnFailure::Deny));
    for (throttle, remaining) in [(&ours, 2), (&theirs, 1), (&ours, 0)] {
        let decision = throttle.hit("anna", 3, MINUTE).await;
        assert!(decision.allowed && decision.shared);
        assert_eq!((decision.remaining, decision.retry_after), (remaining, Duration::ZERO));
    }
    let refused = theirs.hit("anna", 3, MINUTE).await;
    assert!(!refused.allowed && refused.shared);
    assert!(refused.retry_after > MINUTE - Duration::from_secs(20) && refused.retry_after <= MINUTE);
    assert!(ours.hit("boris", 3, MINUTE).await.allowed);
    assert!(ours.hit("anna", 4, MINUTE).await.allowed, "a raised limit");
    assert!(!ours.hit("anna", 2, MINUTE).await.allowed, "a lowered limit");
    let nothing = ours.hit("nobody", 0, MINUTE).await;
    assert_eq!((nothing.allowed, nothing.retry_after), (false, MINUTE));

    // Redis forgets scripts when it restarts.
    cmd("SCRIPT").arg("FLUSH").exec_async(&mut raw(&url).await).await.unwrap();
    assert!(ours.hit("after", 3, MINUTE).await.shared);
}

#[tokio::test]
async fn a_look_does_not_count_and_what_is_forgotten_is_gone() {
    let (url, _server) = any_redis().await;
    let throttle = Throttle::new(process(&url), &fresh("look"), OnFailure::Deny);
    for _ in 0..3 {
        let decision = throttle.look("anna", 1, MINUTE).await;
        assert_eq!((decision.allowed, decision.remaining, decision.shared), (true, 1, true));
    }
    assert!(throttle.hit("anna", 1, MINUTE).await.allowed);
    let refused = throttle.look("anna", 1, MINUTE).await;
    assert!(!refused.allowed && refused.retry_after > MINUTE / 2);
    throttle.forget("anna").await;
    assert!(throttle.hit("anna", 1, MINUTE).await.allowed);
}

#[tokio::test]
async fn a_hit_is_allowed_when_it_was_said_to_be() {
    let (url, _server) = any_redis().await;
    let throttle = Throttle::new(process(&url), &fresh("wait"), OnFailure::Deny);
    let window = Duration::from_millis(400);
    assert!(throttle.hit("a", 1, window).await.allowed);
    let refused = throttle.hit("a", 1, window).await;
    assert!(!refused.allowed && refused.retry_after <= window);
    tokio::time::sleep(refused.retry_after).await;
    assert!(throttle.hit("a", 1, window).await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_ever_holds_more_than_the_limit() {
    const LIMIT: usize = 20;
    let window = Duration::from_millis(150);
    let (url, _server) = any_redis().await;
    let throttle = Throttle::new(process(&url), &fresh("window"), OnFailure::Deny);
    let end = Instant::now() + window * 8;
    let hammer = async || {
        let mut allowed = Vec::new();
        while Instant::now() < end {
            let before = Instant::now();
            if throttle.hit("a", LIMIT as u32, window).await.allowed {
                allowed.push((before, Instant::now()));
            }
        }
        allowed
    };
    let mut allowed: Vec<_> = join_all((0..8).map(|_| hammer())).await.into_iter().flatten().collect();
    assert!(allowed.len() >= LIMIT * 4, "{} allowed", allowed.len());
    // Each was let through between its two times. Whichever order they had, of LIMIT + 1 the last one ended a
    // window after the first one began.
    allowed.sort_by_key(|(_, after)| *after);
    for group in allowed.windows(LIMIT + 1) {
        let first = group.iter().map(|(before, _)| *before).min().unwrap();
        let span = group[LIMIT].1.duration_since(first);
        assert!(span >= window, "{} hits in {span:?}", LIMIT + 1);
    }
}

/// What a throttle without a script does: read, compare, write.
async fn naive_hit(redis: &mut MultiplexedConnection, key: &str, limit: u32) -> bool {
    let count: Option<u32> = cmd("GET").arg(key).query_async(redis).await.unwrap();
    let count = count.unwrap_or(0);
    if count >= limit {
        return false;
    }
    cmd("SET").arg(key).arg(count + 1).arg("EX").arg(60).exec_async(redis).await.unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_rivals_get_exactly_the_limit_and_a_naive_throttle_lets_more_through() {
    const RIVALS: usize = 64;
    const LIMIT: u32 = 10;
    let (url, _server) = any_redis().await;
    let name = fresh("race");
    let throttles: Vec<_> = (0..8).map(|_| Throttle::new(process(&url), &name, OnFailure::Deny)).collect();
    for round in 0..50 {
        let key = round.to_string();
        let rivals = (0..RIVALS).map(|n| {
            let (throttle, key) = (throttles[n % throttles.len()].clone(), key.clone());
            tokio::spawn(async move { throttle.hit(&key, LIMIT, MINUTE).await })
        });
        let decisions: Vec<_> = join_all(rivals).await.into_iter().map(Result::unwrap).collect();
        assert!(decisions.iter().all(|decision| decision.shared));
        let mut remaining: Vec<_> =
            decisions.iter().filter(|decision| decision.allowed).map(|decision| decision.remaining).collect();
        remaining.sort_unstable();
        assert_eq!(remaining, (0..LIMIT).collect::<Vec<_>>(), "round {round}");
    }

    let connections = join_all((0..8).map(|_| raw(&url))).await;
    let mut most = 0;
    for round in 0..50 {
        let key = format!("{name}.naive.{round}");
        let rivals = (0..RIVALS).map(|n| {
            let (mut redis, key) = (connections[n % connections.len()].clone(), key.clone());
            tokio::spawn(async move { naive_hit(&mut redis, &key, LIMIT).await })
        });
        let allowed = join_all(rivals).await.into_iter().filter(|allowed| *allowed.as_ref().unwrap()).count();
        most = most.max(allowed);
    }
    assert!(most > LIMIT as usize, "the negative control has to let more through, and let {most}");
}
