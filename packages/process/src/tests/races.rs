//! Several copies want one saga.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_handle::CancellationToken;
use artel_proto::process::{Saga, SagaState};
use artel_util::time::is_past;

use super::toy::{Case, Dies, Hangs, Toy, World};
use crate::{Engine, Moment, Point, Way};

/// A saga whose process died, and four copies that want it at the same moment.
async fn race(case: &Case) -> Vec<Engine<Toy>> {
    let at = Point { step: "charge", way: Way::Forward, moment: Moment::Recorded };
    let dying = case.engine().with_mishaps(Arc::new(Dies { at, struck: Arc::default() }));
    case.begin(&dying).await.unwrap();
    let heirs: Vec<_> = (0..4).map(|_| case.engine()).collect();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let saga: Saga = case.repo.get(&case.call, &case.plan.id).await.unwrap().unwrap();
        let died = saga.step == "charge" && saga.lease_time.as_ref().is_some_and(is_past);
        assert!(Instant::now() < deadline, "{saga:?}");
        if died {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    futures::future::join_all(heirs.iter().map(|heir| heir.take_over_in(&case.call))).await;
    heirs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_copies_that_take_one_saga_over_charge_once() {
    let world = World::start().await;
    let cases = (0..16).map(|_| async {
        let case = world.case();
        let heirs = race(&case).await;
        let saga = case.end(&heirs).await;
        assert_eq!(saga.state(), SagaState::Done);
        case.check(&saga).await;
    });
    futures::future::join_all(cases).await;
}

/// The negative control of the fencing token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_they_charge_more_than_once() {
    let world = World::start().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    // It takes chance that two look at the same moment: again until they do.
    loop {
        let mut case = world.case();
        case.rules.fenced = false;
        // Such a saga may never end: each copy takes it from the other.
        let _heirs = race(&case).await;
        for _ in 0..100 {
            if case.charged() > 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(Instant::now() < deadline, "charged {} times", case.charged());
    }
}

/// A copy that hangs before or after an effect until long after its lease, and wakes when another one has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wakes_after_the_lease_does_and_writes_nothing_more() {
    let world = World::start().await;
    let steps = ["a", "b", "charge", "f", "g"];
    let points = steps.into_iter().flat_map(|step| {
        [Moment::Recorded, Moment::Effected].map(|moment| Point { step, way: Way::Forward, moment })
    });
    let cases = points.map(|at| {
        let world = &world;
        async move {
            let case = world.case();
            let during = case.rules.lease * 3;
            let hanging = case.engine().with_mishaps(Arc::new(Hangs { at, during }));
            let heir = case.engine();
            case.begin(&hanging).await.unwrap();
            let saga = case.end(std::slice::from_ref(&heir)).await;
            // Until the one that hung has woken and stopped.
            let stopped = stopped(hanging);
            tokio::time::timeout(Duration::from_secs(20), stopped).await.unwrap();
            let after = case.end(&[heir]).await;
            assert_eq!((after.state(), after.version), (SagaState::Done, saga.version), "{at:?}");
            case.check(&after).await;
        }
    });
    futures::future::join_all(cases).await;
}

/// Ends when nothing runs on the engine any more.
async fn stopped(engine: Engine<Toy>) {
    let draining = CancellationToken::new();
    draining.cancel();
    engine.drain(draining).await;
}
