use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use artel_client::Limits;
use tonic::Code;

use crate::support::{Caller, Copy, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn the_faster_of_two_gets_most_calls() {
    let (fast, slow) = (Copy::start(), Copy::start());
    slow.mood.slow.store(50, Ordering::Relaxed);
    let caller = Arc::new(Caller::of(&[&fast, &slow], Limits::default()));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let caller = Arc::clone(&caller);
            tokio::spawn(async move {
                for _ in 0..100 {
                    caller.get().await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (fast, slow) = (fast.mood.asked(), slow.mood.asked());
    assert_eq!(fast + slow, 800);
    assert!(fast > 4 * slow, "fast {fast}, slow {slow}");
    assert!(slow > 0, "nobody knows any more how slow it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn equals_share_the_calls() {
    let (one, two) = (Copy::start(), Copy::start());
    for copy in [&one, &two] {
        copy.mood.slow.store(5, Ordering::Relaxed);
    }
    let caller = Arc::new(Caller::of(&[&one, &two], Limits::default()));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let caller = Arc::clone(&caller);
            tokio::spawn(async move {
                for _ in 0..50 {
                    caller.get().await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (one, two) = (one.mood.asked(), two.mood.asked());
    assert!(one.min(two) > 100, "{one} and {two} of 400");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_taken_out_gets_not_one_call_more_and_a_new_one_gets_its_share() {
    let (one, two) = (Copy::start(), Copy::start());
    let caller = Caller::of(&[&one], Limits::default());
    caller.get().await.unwrap();
    caller.knows(&[&one, &two]);
    let begin = Instant::now();
    while two.mood.asked() < 10 {
        caller.get().await.unwrap();
        assert!(begin.elapsed() < SOON, "it is there and hardly asked: {}", two.mood.asked());
    }
    caller.knows(&[&two]);
    let before = one.mood.asked();
    for _ in 0..100 {
        caller.get().await.unwrap();
    }
    assert_eq!(one.mood.asked(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_none_the_answer_comes_at_once() {
    let caller = Caller::of(&[], Limits::default());
    let begin = Instant::now();
    let status = caller.get().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(artel_util::reason(&status).as_deref(), Some("NO_INSTANCES"));
    assert!(begin.elapsed() < SOON / 10, "after {:?}", begin.elapsed());
    let copy = Copy::start();
    caller.knows(&[&copy]);
    caller.get().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_wait_than_the_limits_allow() {
    let copy = Copy::start();
    copy.mood.slow.store(300, Ordering::Relaxed);
    let caller = Caller::of(&[&copy], Limits { waiting: 4, ..Limits::default() });
    let calls = (0..10).map(|_| caller.get());
    let ended = futures::future::join_all(calls).await;
    let refused: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 6);
    for status in refused {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(artel_util::reason(&status).as_deref(), Some("OVERLOADED"));
    }
    assert_eq!(copy.mood.asked(), 4);
    // Those who have gone make room.
    caller.get_within(Duration::from_secs(5)).await.unwrap();
}
