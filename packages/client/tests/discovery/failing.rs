use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use artel_client::Limits;
use tonic::Code;

use crate::support::{Caller, Copy, SOON, unforgetting};

/// Calls go where they are answered while one of two is dead and nobody has said so yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_copy_costs_no_call() {
    let (alive, mut dead) = (Copy::start(), Copy::start());
    let caller = Caller::of(&[&alive, &dead], Limits::default());
    for _ in 0..20 {
        caller.get().await.unwrap();
    }
    dead.kill();
    for number in 0..200 {
        caller.get().await.unwrap_or_else(|status| panic!("call {number}: {status:?}"));
    }
    // What never reached it may be sent elsewhere whatever it is. The first of these finds out that it is gone.
    for number in 0..50 {
        caller.create().await.unwrap_or_else(|status| panic!("call {number}: {status:?}"));
    }
}

/// The control: with one try each, calls fail that were given to the dead.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_try_a_dead_copy_costs_calls() {
    let (alive, mut dead) = (Copy::start(), Copy::start());
    let caller = Caller::of(&[&alive, &dead], Limits { attempts: 1, ..unforgetting() });
    for _ in 0..20 {
        caller.get().await.unwrap();
    }
    dead.kill();
    let begin = Instant::now();
    while caller.get().await.is_ok() {
        assert!(begin.elapsed() < SOON, "it is never asked again");
    }
}

/// How many of 300 calls a copy gets that answers none of them.
async fn asked_of_broken(limits: Limits) -> usize {
    let (well, broken) = (Copy::start(), Copy::start());
    broken.mood.broken.store(true, Ordering::Relaxed);
    let caller = Caller::of(&[&well, &broken], limits);
    for _ in 0..300 {
        caller.get().await.unwrap();
    }
    broken.mood.asked()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_fails_is_left_alone() {
    let plenty = Limits { retry_reserve: 1_000, ..Limits::default() };
    let long = Duration::from_secs(3600);
    let left_alone = Limits { first_break: long, longest_break: long, ..plenty.clone() };
    assert_eq!(asked_of_broken(left_alone).await, 3);
    // The control: who forgets no failure asks it again and again.
    let asked = asked_of_broken(Limits { failures: u32::MAX, ..plenty }).await;
    assert!(asked > 30, "{asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_well_again_gets_calls_again() {
    let (one, two) = (Copy::start(), Copy::start());
    two.mood.broken.store(true, Ordering::Relaxed);
    let short = Duration::from_millis(50);
    let limits =
        Limits { first_break: short, longest_break: short, retry_reserve: 1_000, ..Limits::default() };
    let caller = Caller::of(&[&one, &two], limits);
    for _ in 0..50 {
        caller.get().await.unwrap();
    }
    two.mood.broken.store(false, Ordering::Relaxed);
    let (begin, before) = (Instant::now(), two.mood.asked());
    while two.mood.asked() < before + 10 {
        caller.get().await.unwrap();
        assert!(begin.elapsed() < SOON, "it is left alone for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_happen_twice_is_tried_again() {
    let (one, two) = (Copy::start(), Copy::start());
    for copy in [&one, &two] {
        copy.mood.broken.store(true, Ordering::Relaxed);
    }
    let limits = Limits { retry_reserve: 1_000, ..unforgetting() };
    let caller = Caller::of(&[&one, &two], limits);
    let status = caller.create().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(artel_util::reason(&status).as_deref(), Some("BROKEN"), "what it said is passed on");
    assert_eq!(one.mood.asked() + two.mood.asked(), 1);
    // The control: one that may is tried on both, and as often as the limits say.
    caller.get().await.unwrap_err();
    assert_eq!(one.mood.asked() + two.mood.asked(), 1 + 3);
    assert!(one.mood.asked() > 0 && two.mood.asked() > 0);
}

/// How often copies that fail are asked for 100 calls.
async fn asked_for_a_hundred(limits: Limits) -> usize {
    let (one, two) = (Copy::start(), Copy::start());
    for copy in [&one, &two] {
        copy.mood.broken.store(true, Ordering::Relaxed);
    }
    let caller = Caller::of(&[&one, &two], limits);
    for _ in 0..100 {
        caller.get().await.unwrap_err();
    }
    one.mood.asked() + two.mood.asked()
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_keep_to_their_budget() {
    let asked = asked_for_a_hundred(unforgetting()).await;
    // Ten were saved up, and each call earns a fifth.
    assert!((125..=130).contains(&asked), "{asked}");
    // The control: without a budget they are three times the calls.
    assert_eq!(asked_for_a_hundred(Limits { retry_percent: 1_000, ..unforgetting() }).await, 300);
}

/// How many of 30 calls that come one after the other are late, where one of two copies is silent.
async fn late(limits: Limits) -> usize {
    let (well, silent) = (Copy::start(), Copy::start());
    let caller = Caller::of(&[&well, &silent], limits);
    for _ in 0..20 {
        caller.get().await.unwrap();
    }
    silent.mood.silent.store(true, Ordering::Relaxed);
    // They wait long enough to hold it against the copy.
    let calls = (0..30).map(|_| caller.get_within(Duration::from_millis(1_200)));
    futures::future::join_all(calls).await;
    let mut late = 0;
    for _ in 0..30 {
        let ended = caller.get_within(Duration::from_millis(200)).await;
        late += usize::from(ended.is_err_and(|status| status.code() == Code::DeadlineExceeded));
    }
    late
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_says_nothing_to_anybody_is_left_alone() {
    let long = Duration::from_secs(3600);
    assert_eq!(late(Limits { first_break: long, longest_break: long, ..Limits::default() }).await, 0);
}
