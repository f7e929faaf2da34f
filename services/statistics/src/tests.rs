//! A random evening told in disorder and twice is the same as counted from its orders; what is asked wrongly is refused.

mod evening;
mod world;

use std::time::{Duration, Instant};

use artel_handle::Listener as _;
use artel_proto::Timestamp;
use artel_proto::order::{Order, OrderPaid, OrderPlaced};
use artel_proto::statistics::{GetReportRequest, OrderFact};
use artel_repo::Commit;
use artel_util::time::from_chrono;
use artel_util::{new_id, now};
use chrono::{TimeDelta, Utc};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use tonic::Code;

use self::evening::{Evening, Told};
use self::world::*;
use crate::facts::add;
use crate::listen::Clerk;

#[tokio::test(flavor = "multi_thread")]
async fn an_evening_told_in_disorder_and_twice_is_as_counted_from_its_orders() {
    let world = World::start().await;
    for seed in 0..3 {
        let mut dice = StdRng::seed_from_u64(seed);
        // Each in a month of its own.
        let begin = Utc::now() - TimeDelta::days(40 * (i64::try_from(seed).unwrap() + 1));
        let evening = Evening::random(&mut dice, begin, 60);
        let mut told: Vec<(String, Told)> = evening
            .told()
            .into_iter()
            .map(|told| (new_id(), told))
            .flat_map(|told| [told.clone(), told])
            .collect();
        told.shuffle(&mut dice);
        world.hear_all(told).await;
        let (start, end) = (begin - TimeDelta::hours(1), begin + TimeDelta::hours(12));
        let report = world.report(Some(from_chrono(start)), Some(from_chrono(end))).await.unwrap();
        assert_eq!(report, evening.counted(start, end), "seed {seed}");
        assert!(report.total.unwrap().orders > 20 && report.hours.len() > 1 && !report.dishes.is_empty());
    }
}

#[tokio::test]
async fn what_happened_is_in_todays_report_within_two_seconds() {
    let mut world = World::start().await;
    let before = world.today().await.total.unwrap();
    assert_eq!((before.placed, before.orders), (0, 0));
    let order = Order {
        id: new_id(),
        user_id: "anna".to_owned(),
        board_number: 7,
        create_time: Some(now()),
        ..evening::order(&[("soup", 2, 150_000)])
    };
    let placed = OrderPlaced {
        order_id: order.id.clone(),
        user_id: order.user_id.clone(),
        order: Some(order.clone()),
    };
    let paid = OrderPaid {
        order_id: order.id.clone(),
        user_id: order.user_id.clone(),
        payment_id: new_id(),
        order: Some(Order { pay_time: Some(now()), bonus_minor: 500, ..order.clone() }),
    };
    world.commit_as_order(Commit::new().insert(&order).publish(&placed).publish(&paid)).await;
    let begin = Instant::now();
    // From the outbox through the listener into the row and the report.
    world.relay(2).await;
    let numbers = loop {
        let numbers = world.today().await.total.unwrap();
        if numbers.orders == 1 {
            break numbers;
        }
        assert!(begin.elapsed() < DEADLINE, "nothing comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(begin.elapsed() < Duration::from_secs(2), "took {:?}", begin.elapsed());
    assert_eq!((numbers.placed, numbers.revenue_minor, numbers.bonus_minor), (1, 300_000, 500));
}

#[tokio::test]
async fn orders_of_the_shop_are_not_counted() {
    let world = World::start().await;
    let order = Order { id: new_id(), create_time: Some(now()), ..evening::order(&[]) };
    let placed = OrderPlaced { order_id: order.id.clone(), order: Some(order), ..OrderPlaced::default() };
    world.clerk().hear(&world.delivery(&new_id()), placed).await.unwrap();
    assert_eq!(world.today().await.total.unwrap().placed, 0);
}

#[tokio::test]
async fn a_period_or_an_organization_that_is_none_is_refused_by_name() {
    let world = World::start().await;
    let at = |seconds| Some(Timestamp { seconds, nanos: 0 });
    for (start, end, field) in [
        (at(2_000), at(2_000), "endTime"),
        (at(2_000), at(1_000), "endTime"),
        (at(0), at(93 * 86_400), "endTime"),
        (at(i64::MAX), None, "startTime"),
        (None, at(i64::MIN), "endTime"),
        (Some(Timestamp { seconds: 0, nanos: -1 }), None, "startTime"),
        (at(Utc::now().timestamp() + 3_600), None, "endTime"),
    ] {
        let refused = world.report(start, end).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, field));
    }
    let asked = |id: &str| GetReportRequest { organization_id: id.to_owned(), ..GetReportRequest::default() };
    let other = world.ask(asked(&new_id())).await.unwrap_err();
    assert_eq!((other.code(), other.reason()), (Code::NotFound, "ORGANIZATION_NOT_FOUND"));
    for wrong in ["", "x"] {
        assert_eq!(world.ask(asked(wrong)).await.unwrap_err().fields()[0].field, "organizationId");
    }
    // Who counts orders needs to be let.
    let guest = world.as_person(&[]).await.unwrap_err();
    assert_eq!((guest.code(), guest.reason()), (Code::PermissionDenied, "ROLE_MISSING"));
    world.as_person(&["analyst"]).await.unwrap();
}

#[tokio::test]
async fn more_orders_than_are_counted_at_once_are_refused() {
    let world = World::with("[statistics]\nmax_orders = 2").await;
    for _ in 0..3 {
        let order = Order { id: new_id(), board_number: 1, create_time: Some(now()), ..evening::order(&[]) };
        let placed = OrderPlaced { order_id: order.id.clone(), order: Some(order), ..OrderPlaced::default() };
        world.clerk().hear(&world.delivery(&new_id()), placed).await.unwrap();
    }
    let refused = world.report(None, None).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::ResourceExhausted, "REPORT_TOO_LARGE"));
}

/// The negative control of the evening: a refund that is heard twice without its key, and a row that is written without
/// the version that was read, are counted wrongly.
#[tokio::test]
async fn without_the_key_and_the_version_the_numbers_are_wrong() {
    let world = World::start().await;
    let (repo, call) = (world.repo(), world.call());
    let mut dice = StdRng::seed_from_u64(7);
    let evening = Evening::random(&mut dice, Utc::now() - TimeDelta::days(1), 60);
    let refund = evening.told().into_iter().find(|told| matches!(told, Told::Refunded(_))).unwrap();
    let Told::Refunded(event) = &refund else { unreachable!() };
    // Two events, as they would be without the key.
    for _ in 0..2 {
        world.hear(new_id(), refund.clone()).await;
    }
    let fact: OrderFact = repo.get(&call, &event.order_id).await.unwrap().unwrap();
    assert_eq!(fact.refunded_minor, 2 * event.refund.as_ref().unwrap().amount_minor);
    // Both have read the same row.
    let (mut one, mut other) = (fact.clone(), fact.clone());
    (one.start_time, other.ready_time) = (Some(now()), Some(now()));
    for written in [&one, &other] {
        repo.commit(&call, Commit::new().upsert(written)).await.unwrap();
    }
    let lost: OrderFact = repo.get(&call, &event.order_id).await.unwrap().unwrap();
    assert!(lost.start_time.is_none() && lost.ready_time.is_some());
    let refused =
        repo.commit(&call, Commit::new().upsert(&one).expect_version(fact.version)).await.unwrap_err();
    assert_eq!(refused.reason(), "PRECONDITION_FAILED");
}

#[tokio::test]
async fn an_order_becomes_a_row_with_its_dishes() {
    let world = World::start().await;
    let order =
        Order { id: new_id(), board_number: 1, create_time: Some(now()), ..evening::order(&[("a", 1, 5)]) };
    let placed =
        OrderPlaced { order_id: order.id.clone(), order: Some(order.clone()), ..OrderPlaced::default() };
    Clerk::new(world.repo()).hear(&world.delivery(&new_id()), placed).await.unwrap();
    let fact: OrderFact = world.repo().get(&world.call(), &order.id).await.unwrap().unwrap();
    assert_eq!((fact.amount_minor, fact.dishes.len(), fact.place_time), (5, 1, order.create_time));
}

proptest! {
    /// The events about one order make one fact in whatever order they come, and again changes nothing but refunds.
    #[test]
    fn a_fact_does_not_depend_on_the_order_of_events(seed in any::<u64>()) {
        let mut dice = StdRng::seed_from_u64(seed);
        let evening = Evening::random(&mut dice, Utc::now(), 1);
        let mut told = evening.told();
        let fact = |told: &[Told]| {
            let mut fact = OrderFact::default();
            told.iter().for_each(|told| told.with(|news| add(&mut fact, &news)));
            fact
        };
        let straight = fact(&told);
        let again: Vec<Told> =
            told.iter().chain(told.iter().filter(|told| !matches!(told, Told::Refunded(_)))).cloned().collect();
        prop_assert_eq!(&fact(&again), &straight);
        told.shuffle(&mut dice);
        prop_assert_eq!(fact(&told), straight);
    }
}
