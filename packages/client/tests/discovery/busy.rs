use std::sync::atomic::Ordering;

use artel_client::Limits;
use tonic::Code;

use crate::support::{Caller, Copy};

/// Nothing was done for what an overloaded copy refuses, so another may be asked whatever the call is.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_overloaded_copy_refuses_another_does_once() {
    let (free, busy) = (Copy::start(), Copy::start());
    busy.mood.overloaded.store(true, Ordering::Relaxed);
    let caller = Caller::of(&[&free, &busy], Limits { retry_reserve: 1_000, ..Limits::default() });
    for _ in 0..100 {
        caller.create().await.unwrap();
    }
    assert_eq!(free.mood.asked(), 100);
    // It is left alone for as long as it asks for, and not taken for a fast one.
    assert!(busy.mood.asked() < 50, "{}", busy.mood.asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_copy_is_not_asked_again_when_it_has_too_much_to_do() {
    let busy = Copy::start();
    busy.mood.overloaded.store(true, Ordering::Relaxed);
    let caller = Caller::of(&[&busy], Limits::default());
    let status = caller.get().await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(artel_util::reason(&status).as_deref(), Some("OVERLOADED"));
    assert!(artel_util::Error::from(status).wait().is_some(), "no word of when to try again");
    assert_eq!(busy.mood.asked(), 1);
}
