//! A process dies at every point there is, on the way forward and on the way back, and another one ends the saga.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artel_proto::process::SagaState;

use super::toy::{Case, Dies, Fault, Toy, World};
use crate::{Mishap, Moment, Point, Process as _, Way, refusal};

/// Begins on a copy that dies at the point, and ends on another.
async fn die(case: &Case, at: Point) -> (usize, artel_proto::process::Saga) {
    let struck = Arc::new(AtomicUsize::new(0));
    let dying = case.engine().with_mishaps(Arc::new(Dies { at, struck: Arc::clone(&struck) }));
    let heir = case.engine();
    if case.begin(&dying).await.is_err() {
        assert_eq!(at.moment, Moment::Unrecorded);
        // Nothing was written: the caller tries again, with the same key.
        case.begin(&heir).await.unwrap();
    }
    // The heir comes when the other is dead: a slow machine must not take the lease from a living one.
    let deadline = Instant::now() + Duration::from_secs(60);
    while struck.load(Ordering::Relaxed) == 0 {
        assert!(Instant::now() < deadline, "{at:?} is not passed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let saga = case.end(&[heir]).await;
    case.check(&saga).await;
    (struck.load(Ordering::Relaxed), saga)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_forward_is_taken_over_and_everything_is_done_once() {
    let world = World::start().await;
    let points = Toy::table().points(&world.case().plan);
    // Before the first record, around the effects of five steps, after the last record.
    assert_eq!(points.len(), 1 + 2 * 5 + 1);
    let cases = points.iter().map(|point| {
        let (world, point) = (&world, *point);
        async move {
            let (struck, saga) = die(&world.case(), point).await;
            assert_eq!((struck, saga.state()), (1, SagaState::Done), "{point:?}");
        }
    });
    futures::future::join_all(cases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_back_is_taken_over_and_nothing_is_left() {
    let world = World::start().await;
    let table = Toy::table();
    let mut cases = Vec::new();
    for step in table.refusable() {
        let plan = world.case().plan;
        for fault in [Fault::Refuse, Fault::Away, Fault::Lose] {
            // A refused charge was surely not made: the way back begins before it. So where the bank was away.
            let from = match (step, fault) {
                ("charge", Fault::Refuse | Fault::Away) => "b",
                // What was lost is found when it is looked up, and the saga goes on.
                ("charge", Fault::Lose) => continue,
                _ => step,
            };
            cases.extend(table.points_back(&plan, from).into_iter().map(|point| (step, fault, point)));
        }
    }
    // Refused, away and lost: of `a` 3 points, of `b` 5. Refused and away: of the charge 5, those of `b`.
    assert_eq!(cases.len(), 3 * (3 + 5) + 2 * 5);
    let cases = cases.into_iter().map(|(step, fault, point)| {
        let world = &world;
        async move {
            let case = world.case();
            let times = if fault == Fault::Refuse { 1 } else { 3 };
            case.befall(step, Way::Forward, vec![fault; times]);
            let (struck, saga) = die(&case, point).await;
            assert_eq!((struck, saga.state()), (1, SagaState::Undone), "{step} {fault:?} {point:?}");
            let reason = match fault {
                Fault::Refuse => "REFUSED",
                Fault::Away => "AWAY",
                Fault::Lose => "LOST",
            };
            assert_eq!((saga.reason.as_str(), refusal(&saga).reason()), (reason, reason));
        }
    });
    futures::future::join_all(cases).await;
}

/// The pivot's own way back: the bank did it, nobody could tell for as long as it was tried, and it is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_while_an_unsure_charge_is_undone_leaves_nothing() {
    let world = World::start().await;
    let points = Toy::table().points_back(&world.case().plan, "charge");
    assert_eq!(points.len(), 2 * 3 + 1);
    let cases = points.into_iter().map(|point| {
        let world = &world;
        async move {
            let mut case = world.case();
            // One attempt: its outcome is unknown, and the saga turns around.
            case.rules.attempts = 1;
            case.befall("charge", Way::Forward, [Fault::Lose]);
            let (struck, saga) = die(&case, point).await;
            assert_eq!((struck, saga.state()), (1, SagaState::Undone), "{point:?}");
            assert_eq!(case.ledger.lock().unwrap().charges.len(), 1);
        }
    });
    futures::future::join_all(cases).await;
}

/// The negative control of looking up: a copy that takes over and just tries again charges twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_looking_up_a_death_after_the_charge_charges_twice() {
    let world = World::start().await;
    let at = Point { step: "charge", way: Way::Forward, moment: Moment::Effected };
    let mut case = world.case();
    case.rules.looks_up = false;
    let dying = case.engine().with_mishaps(Arc::new(Dies { at, struck: Arc::default() }));
    case.begin(&dying).await.unwrap();
    case.end(&[case.engine()]).await;
    assert_eq!(case.charged(), 2);
}

/// The engine asks at every point it passes, and at no other than those that are listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_points_that_are_listed_are_the_points_that_are_passed() {
    struct Passed(std::sync::Mutex<Vec<Point>>);
    #[async_trait::async_trait]
    impl crate::Mishaps for Passed {
        async fn strikes(&self, _: &str, point: Point) -> Mishap {
            self.0.lock().unwrap().push(point);
            Mishap::Nothing
        }
    }
    let world = World::start().await;
    let (forward, back) = (world.case(), world.case());
    for case in [&forward, &back] {
        let passed = Arc::new(Passed(std::sync::Mutex::default()));
        let is_back = std::ptr::eq(case, &back);
        if is_back {
            case.befall("b", Way::Forward, [Fault::Refuse]);
        }
        let engine = case.engine().with_mishaps(Arc::clone(&passed) as Arc<dyn crate::Mishaps>);
        case.begin(&engine).await.unwrap();
        engine.wait(&case.call, &case.plan.id).await.unwrap();
        let table = Toy::table();
        let mut listed = table.points(&case.plan);
        if is_back {
            // As far as the refused step, and from there back.
            listed.truncate(1 + 2 * 2);
            listed.extend(table.points_back(&case.plan, "b"));
        }
        assert_eq!(*passed.0.lock().unwrap(), listed);
    }
}
