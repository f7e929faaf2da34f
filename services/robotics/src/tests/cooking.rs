use std::sync::Arc;

use artel_proto::robotics::{CookingStatus, OrderReady, Reservation, ReservationStatus};
use artel_repo::Commit;
use artel_util::new_id;
use artel_util::time::to_chrono;
use artel_vendors::robots::Effect;
use artel_vendors::{Act, Faults};
use tonic::Code;

use super::copy::{Copy, came_in, cook, job_call, jobs, line, only_job, paid, robots, told, until};
use super::world::{World, recipe};
use crate::line::{Changes, Dish, Order, Progress, State, Trouble};

/// A world with a dish that there is enough for.
async fn world() -> (World, String) {
    let world = World::start().await;
    let beet = world.ingredient(10_000).await;
    let borscht = world.dish(&[(&beet, 10)]).await;
    (world, borscht)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_order_is_cooked_once_by_its_recipe_and_told_with_the_lines_times() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    let copy = Copy::start(&world, line(&robots));
    let event = paid(&world, &borscht).await;
    for _ in 0..3 {
        copy.hear(&world, &event).await;
    }
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));
    let job = only_job(&world).await;
    assert_eq!((job.status(), job.attempts, job.error.as_str()), (CookingStatus::Ready, 1, ""));
    let ledger = robots.ledger();
    let Effect::Queued { job: came, .. } = &ledger[0].effect else { panic!("{ledger:?}") };
    assert_eq!(
        (came.external_id.as_str(), came.dishes[0].steps[0].action.as_str()),
        (job.id.as_str(), "fry")
    );
    assert_eq!(came.ingredients[0].amount, 10);
    let micros = |time: chrono::DateTime<chrono::Utc>| time.timestamp_micros();
    let times = [job.start_time, job.ready_time].map(|time| micros(to_chrono(&time.unwrap()).unwrap()));
    assert_eq!(times, [micros(ledger[1].time), micros(ledger[2].time)]);
    assert_eq!(ledger.len(), 3);
    // What is cooked cannot be given back.
    let reservation: Reservation = world.repo.get(&world.call(), &event.payment_id).await.unwrap().unwrap();
    assert_eq!(reservation.status(), ReservationStatus::Used);
    let refused = world.release(&event.payment_id, &event.order_id).await.unwrap_err();
    assert_eq!(refused.reason(), "RESERVATION_USED");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_paid_is_cooked_whatever_became_of_its_reservation() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    let copy = Copy::start(&world, line(&robots));
    let (released, mut missing) = (paid(&world, &borscht).await, paid(&world, &borscht).await);
    world.release(&released.payment_id, &released.order_id).await.unwrap();
    missing.payment_id = new_id();
    copy.hear(&world, &released).await;
    copy.hear(&world, &missing).await;
    assert!(told(&mut world, 2).await.values().all(|told| *told == (1, 1)));
    // One that was missing is not made any more.
    let late = world.reserve(&missing.payment_id, &missing.order_id, &[super::world::of(&borscht, 1)]).await;
    assert!(late.unwrap().ingredients.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_breakdown_the_line_begins_again_and_meanwhile_the_job_says_why() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    robots.faults().set(Faults::script([Act::Break, Act::Fail, Act::Lose]));
    let copy = Copy::start(&world, line(&robots));
    let event = paid(&world, &borscht).await;
    copy.hear(&world, &event).await;
    until("the breakdown", async || only_job(&world).await.error.contains("jammed")).await;
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));
    let job = only_job(&world).await;
    // It was asked to begin again twice: the first time it was away, the second time its answer was lost.
    assert_eq!((job.status(), job.attempts, job.error.as_str()), (CookingStatus::Ready, 3, ""));
    let restarts = robots.ledger().into_iter();
    assert_eq!(restarts.filter(|entry| matches!(entry.effect, Effect::Restarted { .. })).count(), 1);
    assert_eq!(came_in(&robots)[&job.id], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_line_is_away_orders_wait_and_none_is_lost() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    robots.faults().set(Faults::down());
    let copy = Copy::start(&world, line(&robots));
    for _ in 0..5 {
        copy.hear(&world, &paid(&world, &borscht).await).await;
    }
    let say = |error: &str| error.starts_with("the robot line does not answer");
    until("each says why it waits", async || {
        let jobs = jobs(&world).await;
        jobs.len() == 5 && jobs.iter().all(|job| say(&job.error) && job.attempts == 0)
    })
    .await;
    robots.faults().clear();
    assert!(told(&mut world, 5).await.values().all(|told| *told == (1, 1)));
    assert!(came_in(&robots).values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_cook_each_order_once_whatever_answers_are_lost() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    let faults = Faults {
        lose_percent: 20.0,
        fail_percent: 10.0,
        break_percent: 30.0,
        twice_percent: 10.0,
        ..Faults::default()
    };
    robots.faults().set(faults);
    let copies = [Copy::start(&world, line(&robots)), Copy::start(&world, line(&robots))];
    for _ in 0..20 {
        let event = paid(&world, &borscht).await;
        tokio::join!(copies[0].hear(&world, &event), copies[1].hear(&world, &event));
    }
    let told = told(&mut world, 20).await;
    assert!(told.len() == 20 && told.values().all(|told| *told == (1, 1)), "{told:?}");
    let came = came_in(&robots);
    assert!(came.len() == 20 && came.values().all(|times| *times == 1), "{came:?}");
    let done = robots.ledger().into_iter().filter(|entry| matches!(entry.effect, Effect::Done { .. }));
    assert_eq!(done.count(), 20);
}

/// The negative control of the test above: a line that is told of each attempt under another id cooks an order as often.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_jobs_id_an_order_is_cooked_as_often_as_it_is_handed_over() {
    let robots = robots().await;
    let line = line(&robots);
    robots.faults().set(Faults::script([Act::Lose]));
    let order = || Order {
        id: new_id(),
        dishes: vec![Dish {
            dish_id: "d".to_owned(),
            name: "Борщ".to_owned(),
            quantity: 1,
            steps: recipe("d", &[]).steps,
        }],
        ingredients: Vec::new(),
    };
    assert!(matches!(line.cook(&order()).await, Err(Trouble::Away(_))));
    line.cook(&order()).await.unwrap();
    assert_eq!(came_in(&robots).len(), 2);
    // Under its own id it is the same order, also where it is another one by now.
    let mut same = order();
    line.cook(&same).await.unwrap();
    same.dishes[0].quantity = 2;
    line.cook(&same).await.unwrap();
    assert_eq!(came_in(&robots).len(), 3);
    assert_eq!(line.find(&new_id()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_missed_is_found_when_the_jobs_time_comes() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    robots.faults().set(Faults::script([Act::Break]));
    let copy = Copy::deaf(&world, line(&robots));
    let event = paid(&world, &borscht).await;
    copy.hear(&world, &event).await;
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));
    assert_eq!(only_job(&world).await.attempts, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_hear_of_a_change_at_once_tell_it_once() {
    let (mut world, borscht) = world().await;
    let (robots, copies) = (robots().await, 8);
    robots.faults().set(Faults::down());
    let line = line(&robots);
    let copy = Copy::deaf(&world, Arc::clone(&line));
    let event = paid(&world, &borscht).await;
    copy.hear(&world, &event).await;
    copy.die();
    let id = only_job(&world).await.id;
    let (start, finish) = (Some(chrono::Utc::now()), None);
    let done = Progress { id, state: State::Done, start, finish, error: String::new() };
    let changes = Changes { jobs: vec![done], cursor: 1 };
    let call = job_call();
    let cooks: Vec<_> = (0..copies).map(|_| cook(&world, &line)).collect();
    let noted = futures::future::join_all(cooks.iter().map(|cook| cook.note(&call, &changes))).await;
    assert!(noted.iter().all(Result::is_ok), "{noted:?}");
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));

    // The negative control: without the version that was read, each copy tells it.
    let mut job = only_job(&world).await;
    job.set_status(CookingStatus::Ready);
    let ready = OrderReady { order_id: job.order_id.clone(), ..OrderReady::default() };
    let commit = || Commit::new().update(&job, &["status"]).publish(&ready);
    let (repo, call) = (&world.repo, world.call());
    futures::future::join_all((0..copies).map(|_| repo.commit(&call, commit()))).await;
    for _ in 0..copies {
        assert_eq!(world.announced.recv().await.unwrap().name, "order.ready");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_see_what_is_cooked_and_what_waits_the_newest_first() {
    let (mut world, borscht) = world().await;
    let robots = robots().await;
    let copy = Copy::start(&world, line(&robots));
    for _ in 0..2 {
        copy.hear(&world, &paid(&world, &borscht).await).await;
    }
    told(&mut world, 2).await;
    robots.faults().set(Faults::down());
    copy.hear(&world, &paid(&world, &borscht).await).await;
    let mut ids: Vec<String> = jobs(&world).await.into_iter().map(|job| job.id).collect();
    ids.sort_unstable_by(|one, other| other.cmp(one));
    let list = async |size, status| world.list_jobs("kitchen_manager", size, status).await.unwrap();
    assert_eq!(list(0, CookingStatus::Unspecified).await, ids);
    assert_eq!(list(2, CookingStatus::Unspecified).await, ids[..2]);
    assert_eq!(list(0, CookingStatus::Queued).await, ids[..1]);
    assert_eq!(list(0, CookingStatus::Ready).await, ids[1..]);
    let refused = world.list_jobs("cashier", 0, CookingStatus::Unspecified).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
