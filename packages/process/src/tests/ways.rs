//! What a caller and an operator see: one saga a key, waiting, retries, drains.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::CancellationToken;
use artel_proto::process::{Saga, SagaState};
use artel_repo::Commit;
use bytes::Bytes;

use super::toy::{Dies, Fault, Hangs, Plan, World};
use crate::{Begin, Moment, Point, Way};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn n_steps_are_n_and_one_commits() {
    let world = World::start().await;
    for (optional, steps) in [(true, 5), (false, 4)] {
        let mut case = world.case();
        case.plan.optional = optional;
        let engine = case.engine();
        case.begin(&engine).await.unwrap();
        let saga = engine.wait(&case.call, &case.plan.id).await.unwrap();
        case.check(&saga).await;
        assert_eq!((saga.state(), saga.version), (SagaState::Done, steps + 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_saga_and_another_request_under_it_is_refused() {
    let world = World::start().await;
    let case = world.case();
    let (one, other) = (case.engine(), case.engine());
    let begin = |id: &str, digest: &'static [u8]| Begin {
        id: id.to_owned(),
        subject: case.plan.clone(),
        commit: Commit::new(),
        key: "key".to_owned(),
        digest: Bytes::from_static(digest),
    };
    let id = one.begin(&case.call, begin(&case.plan.id, b"1")).await.unwrap();
    let again = other.begin(&case.call, begin(&artel_util::new_id(), b"1")).await.unwrap();
    assert_eq!((id.as_str(), again.as_str()), (case.plan.id.as_str(), case.plan.id.as_str()));
    // Who waits at another copy sees the end as well.
    assert_eq!(other.wait(&case.call, &again).await.unwrap().state(), SagaState::Done);
    let refused = other.begin(&case.call, begin(&artel_util::new_id(), b"2")).await.unwrap_err();
    assert_eq!(refused.reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(case.charged(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_goes_on_when_its_caller_does_not_wait() {
    let world = World::start().await;
    let case = world.case();
    let at = Point { step: "b", way: Way::Forward, moment: Moment::Recorded };
    let during = Duration::from_millis(200);
    let engine = case.engine().with_mishaps(Arc::new(Hangs { at, during }));
    case.begin(&engine).await.unwrap();
    let hurried = Call { deadline: Some(Instant::now() + Duration::from_millis(50)), ..case.call.clone() };
    assert_eq!(engine.wait(&hurried, &case.plan.id).await.unwrap_err().reason(), "STILL_UNDER_WAY");
    let saga = engine.wait(&case.call, &case.plan.id).await.unwrap();
    assert_eq!(saga.state(), SagaState::Done);
    case.check(&saga).await;
}

/// What is lost is looked up or repeated by key, what is away is tried again: both end well within the attempts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_passes_is_passed_over_at_every_step() {
    let world = World::start().await;
    let faults = [vec![Fault::Lose], vec![Fault::Away], vec![Fault::Away, Fault::Lose]];
    let cases = ["a", "b", "charge", "f", "g"]
        .into_iter()
        .flat_map(|step| faults.clone().into_iter().map(move |faults| (step, faults)));
    let cases = cases.map(|(step, faults)| {
        let world = &world;
        async move {
            let case = world.case();
            case.befall(step, Way::Forward, faults);
            let engine = case.engine();
            case.begin(&engine).await.unwrap();
            let saga = engine.wait(&case.call, &case.plan.id).await.unwrap();
            assert_eq!(saga.state(), SagaState::Done, "{step}");
            case.check(&saga).await;
        }
    });
    futures::future::join_all(cases).await;
}

/// Far more often than a step before the pivot: what has to succeed is tried until it does, also on the way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_to_succeed_is_tried_until_it_does() {
    let world = World::start().await;
    let (forward, back) = (world.case(), world.case());
    let long = [Fault::Away, Fault::Lose, Fault::Refuse].repeat(4);
    forward.befall("f", Way::Forward, long.clone());
    back.befall("charge", Way::Forward, [Fault::Refuse]);
    back.befall("a", Way::Back, long);
    for (case, state) in [(forward, SagaState::Done), (back, SagaState::Undone)] {
        let engine = case.engine();
        case.begin(&engine).await.unwrap();
        let saga = engine.wait(&case.call, &case.plan.id).await.unwrap();
        assert_eq!(saga.state(), state);
        case.check(&saga).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_drains_gives_its_saga_up_between_two_steps() {
    let world = World::start().await;
    let mut case = world.case();
    // Nobody could wait for this lease.
    case.rules.lease = Duration::from_secs(600);
    let draining = CancellationToken::new();
    let at = Point { step: "b", way: Way::Forward, moment: Moment::Effected };
    let during = Duration::from_millis(200);
    let leaving = case.engine_until(draining.clone()).with_mishaps(Arc::new(Hangs { at, during }));
    case.begin(&leaving).await.unwrap();
    draining.cancel();
    tokio::time::timeout(Duration::from_secs(20), leaving.drain(draining)).await.unwrap();
    let left: Saga = case.repo.get(&case.call, &case.plan.id).await.unwrap().unwrap();
    assert_eq!((left.state(), left.holder.as_str()), (SagaState::Running, ""), "{left:?}");
    let saga = case.end(&[case.engine()]).await;
    case.check(&saga).await;
}

/// With the times of production: whoever waits sees the end within 10 s of the death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_copy_goes_on_within_ten_seconds_of_a_death() {
    let world = World::start().await;
    let mut case = world.case();
    case.rules = crate::Rules::default();
    let at = Point { step: "charge", way: Way::Forward, moment: Moment::Effected };
    let dying = case.engine().with_mishaps(Arc::new(Dies { at, struck: Arc::default() }));
    case.begin(&dying).await.unwrap();
    let begun = Instant::now();
    let heir = case.engine();
    let looking = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            heir.take_over(&case.call).await.unwrap();
        }
    };
    let ended = heir.wait(&case.call, &case.plan.id);
    let saga = tokio::select! { saga = ended => saga.unwrap(), () = looking => unreachable!() };
    println!("taken over and ended {:?} after the death", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(begun.elapsed() > Duration::from_secs(4), "the lease was not waited for");
    case.check(&saga).await;
}

/// What was done is written when storage is back, if that is before the lease is over; else another copy finds it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_goes_away_in_the_middle_loses_nothing() {
    for lease in [Duration::from_secs(30), Duration::from_millis(600)] {
        let world = World::start().await;
        let mut case = world.case();
        case.rules.lease = lease;
        let at = Point { step: "charge", way: Way::Forward, moment: Moment::Effected };
        let hangs = Hangs { at, during: Duration::from_millis(300) };
        let engine = case.engine().with_mishaps(Arc::new(hangs));
        case.begin(&engine).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while case.charged() == 0 {
            assert!(Instant::now() < deadline, "nothing is charged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.lose_persist();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        world.find_persist().await;
        let saga = case.end(&[case.engine()]).await;
        assert_eq!(saga.state(), SagaState::Done);
        case.check(&saga).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_are_worked_on_at_once_and_more_wait_before_they_begin() {
    let world = World::start().await;
    let mut case = world.case();
    case.rules.at_once = 1;
    let at = Point { step: "b", way: Way::Forward, moment: Moment::Recorded };
    let during = Duration::from_millis(300);
    let engine = case.engine().with_mishaps(Arc::new(Hangs { at, during }));
    case.begin(&engine).await.unwrap();
    let begin = |id: String| Begin {
        subject: Plan { id: id.clone(), ..case.plan.clone() },
        key: format!("test/{id}"),
        digest: Bytes::from_static(b"toy"),
        commit: Commit::new(),
        id,
    };
    let other = artel_util::new_id();
    let hurried = Call { deadline: Some(Instant::now() + Duration::from_millis(50)), ..case.call.clone() };
    let refused = engine.begin(&hurried, begin(other.clone())).await.unwrap_err();
    assert_eq!(refused.reason(), "BUSY");
    assert_eq!(case.repo.get::<Saga>(&case.call, &other).await.unwrap(), None, "nothing was begun");
    engine.begin(&case.call, begin(other.clone())).await.unwrap();
    for id in [&case.plan.id, &other] {
        assert_eq!(engine.wait(&case.call, id).await.unwrap().state(), SagaState::Done);
    }
}

/// What waits for its next attempt leaves its turn to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_saga_that_waits_keeps_nobody_waiting() {
    let world = World::start().await;
    let mut case = world.case();
    case.rules.at_once = 1;
    // The bank is away for long after the first saga has come to it.
    case.rules.first_pause = Duration::from_secs(60);
    case.rules.longest_pause = Duration::from_secs(60);
    case.befall("charge", Way::Forward, [Fault::Away]);
    let engine = case.engine();
    case.begin(&engine).await.unwrap();
    let id = artel_util::new_id();
    let begin = Begin {
        subject: Plan { id: id.clone(), ..case.plan.clone() },
        key: format!("test/{id}"),
        digest: Bytes::from_static(b"toy"),
        commit: Commit::new(),
        id: id.clone(),
    };
    engine.begin(&case.call, begin).await.unwrap();
    assert_eq!(engine.wait(&case.call, &id).await.unwrap().state(), SagaState::Done);
    let waits: Saga = case.repo.get(&case.call, &case.plan.id).await.unwrap().unwrap();
    assert_eq!((waits.state(), waits.step.as_str()), (SagaState::Running, "charge"), "{waits:?}");
}
