//! A failure and a death at every step of a payment: enumerated from its table, counted, none skipped.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use artel_process::{Engine, Mishap, Moment, Point, Process as _, Rules, Way};
use artel_proto::billing::{Payment, PaymentStatus};
use artel_vendors::{Act, Faults};
use futures::StreamExt as _;

use super::world::{All, Befalls, World};
use crate::payment::{Paying, Payments};

/// The part by points in these tests: every step takes place.
const BONUS: i64 = 300;
/// Cases side by side.
const SIDE_BY_SIDE: usize = 24;

fn paying() -> Paying {
    let payment = Payment { bonus_minor: BONUS, card_minor: 700, ..Payment::default() };
    Paying { payment, order: artel_proto::order::Order::default() }
}

fn point(step: &'static str, way: Way, moment: Moment) -> Point {
    Point { step, way, moment }
}

/// Pays while this happens; how often it did, and how it ended.
async fn befall(world: &World, mishaps: Vec<Befalls>) -> (Vec<usize>, PaymentStatus) {
    befall_at(world, mishaps, |mishaps| world.copy(mishaps)).await
}

/// The same at a copy that is made so.
async fn befall_at(
    world: &World,
    mishaps: Vec<Befalls>,
    copy: impl FnOnce(All) -> Engine<Payments>,
) -> (Vec<usize>, PaymentStatus) {
    let guest = world.guest().await;
    let struck: Vec<_> = mishaps.iter().map(|one| one.struck.clone()).collect();
    let copy = copy(All(mishaps));
    let mut paid = world.pay_at(&copy, &guest, BONUS).await;
    if paid.as_ref().is_err_and(|error| error.reason() == "PROCESS_DIED") {
        // Nothing was begun: the guest asks again, and gets to another copy.
        paid = world.pay(&guest, BONUS).await;
    }
    let payment = world.check(&guest, BONUS).await;
    // The guest is told what became of it, and told the same when asking again.
    let again = world.pay(&guest, BONUS).await;
    match (&paid, &again) {
        (Ok(paid), Ok(again)) => {
            assert_eq!((paid, payment.status()), (again, PaymentStatus::Completed));
        }
        (Err(refused), Err(again)) => {
            assert_eq!((refused.reason(), refused.message()), (again.reason(), again.message()));
            assert_eq!(
                (payment.status(), payment.reason.as_str()),
                (PaymentStatus::Failed, refused.reason())
            );
        }
        other => panic!("{other:?}"),
    }
    (struck.iter().map(|one| one.load(Ordering::Relaxed)).collect(), payment.status())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_forward_ends_in_one_payment() {
    let world = World::start().await;
    let points = Payments::table().points(&paying());
    assert_eq!(points.len(), 1 + 2 * 6 + 1, "{points:?}");
    let cases = futures::stream::iter(points).for_each_concurrent(SIDE_BY_SIDE, |at| {
        let world = &world;
        async move {
            let ended = befall(world, vec![Befalls::new(at, Mishap::Death, 1)]).await;
            assert_eq!(ended, (vec![1], PaymentStatus::Completed), "{at:?}");
        }
    });
    cases.await;
    assert_eq!(world.violations().await, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_and_a_death_at_any_point_back_leave_nothing() {
    let world = World::start().await;
    let table = Payments::table();
    let mut cases = Vec::new();
    for step in table.refusable() {
        // What the bank refuses it has not done: the way back begins before it.
        let from = if step == "charge" { "hold" } else { step };
        cases.extend(table.points_back(&paying(), from).into_iter().map(|at| (step, at)));
    }
    assert_eq!(cases.len(), 3 + 5 + 7 + 7);
    let cases = futures::stream::iter(cases).for_each_concurrent(SIDE_BY_SIDE, |(step, at)| {
        let world = &world;
        async move {
            let refused = Befalls::new(point(step, Way::Forward, Moment::Recorded), Mishap::Refusal, 1);
            let ended = befall(world, vec![refused, Befalls::new(at, Mishap::Death, 1)]).await;
            assert_eq!(ended, (vec![1, 1], PaymentStatus::Failed), "{step} {at:?}");
        }
    });
    cases.await;
    assert_eq!(world.violations().await, vec![]);
}

/// The bank has taken the money, its answer is lost, and there is no second attempt: the way back begins with the charge
/// itself, which is found and given back, whoever dies on that way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_while_a_charge_is_given_back_gives_it_back_once() {
    let world = World::start().await;
    let points = Payments::table().points_back(&paying(), "charge");
    assert_eq!(points.len(), 2 * 4 + 1);
    let cases = futures::stream::iter(points).for_each_concurrent(SIDE_BY_SIDE, |at| {
        let world = &world;
        async move {
            let lost = Befalls::new(point("charge", Way::Forward, Moment::Effected), Mishap::Loss, 1);
            let mishaps = vec![lost, Befalls::new(at, Mishap::Death, 1)];
            let rules = Rules { lease: Duration::from_secs(5), attempts: 1, ..Rules::default() };
            let ended = befall_at(world, mishaps, |mishaps| world.copy_with(mishaps, rules)).await;
            assert_eq!(ended, (vec![1, 1], PaymentStatus::Failed), "{at:?}");
        }
    });
    cases.await;
    // Taken and given back, nine times each.
    assert_eq!(world.bank.ledger().len(), 2 * 9);
    assert_eq!(world.violations().await, vec![]);
}

/// An outage and a lost answer, once and for as long as it is tried, at every step forward; once at every step back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_and_a_lost_answer_at_any_step_end_in_all_or_nothing() {
    let world = World::start().await;
    let table = Payments::table();
    let faults = [(Mishap::Outage, Moment::Recorded), (Mishap::Loss, Moment::Effected)];
    let refusable: Vec<_> = table.refusable().collect();
    let mut cases = Vec::new();
    for (what, moment) in faults {
        for step in table.names() {
            for times in [1, 3] {
                cases.push((vec![(step, Way::Forward, moment, what, times)], None));
                // Three times is as often as a step is tried that can be refused. The bank's lost answers are looked up.
                if times == 3 && refusable.contains(&step) && (step, what) != ("charge", Mishap::Loss) {
                    cases.last_mut().unwrap().1 = Some(PaymentStatus::Failed);
                }
            }
        }
        for step in ["claim", "reserve", "hold"] {
            let refused = ("charge", Way::Forward, Moment::Recorded, Mishap::Refusal, 1);
            let back = (step, Way::Back, moment, what, 1);
            cases.push((vec![refused, back], Some(PaymentStatus::Failed)));
        }
    }
    assert_eq!(cases.len(), 2 * (6 * 2 + 3));
    let cases = futures::stream::iter(cases).for_each_concurrent(SIDE_BY_SIDE, |(mishaps, ends)| {
        let world = &world;
        async move {
            let times: Vec<usize> = mishaps.iter().map(|one| one.4).collect();
            let befalls = mishaps.iter().map(|(step, way, moment, what, times)| {
                Befalls::new(point(step, *way, *moment), *what, *times)
            });
            let (struck, status) = befall(world, befalls.collect()).await;
            let lost_at_bank = mishaps[0].0 == "charge" && mishaps[0].3 == Mishap::Loss;
            if !lost_at_bank {
                assert_eq!(struck, times, "{mishaps:?}");
                assert_eq!(status, ends.unwrap_or(PaymentStatus::Completed), "{mishaps:?}");
            }
        }
    });
    cases.await;
    assert_eq!(world.violations().await, vec![]);
}

/// What the bank itself does: declines, fails, loses answers, is down, is too slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_bank_does_it_takes_the_money_once_or_not() {
    let world = World::start().await;
    let cases: [(&str, Vec<Act>, Option<&str>); 7] = [
        ("declines", vec![Act::Decline], Some("CARD_DECLINED")),
        ("fails once", vec![Act::Fail], None),
        ("fails on and on", vec![Act::Fail; 12], Some("BANK_UNAVAILABLE")),
        ("loses an answer", vec![Act::Lose], None),
        ("loses and fails", vec![Act::Fail, Act::Lose], None),
        ("does it twice", vec![Act::Twice], None),
        // Longer than anybody waits for it: it is found when it is looked up.
        ("answers too late", vec![Act::Slow(Duration::from_secs(5))], None),
    ];
    for (name, acts, refused) in cases {
        let guest = world.guest().await;
        world.bank_is(Faults::script(acts));
        let paid = world.pay(&guest, BONUS).await;
        world.bank_is(Faults::default());
        assert_eq!(paid.as_ref().err().map(artel_util::Error::reason), refused, "{name}: {paid:?}");
        world.check(&guest, BONUS).await;
    }
    let guest = world.guest().await;
    world.bank_is(Faults::down());
    assert_eq!(world.pay(&guest, BONUS).await.unwrap_err().reason(), "BANK_UNAVAILABLE");
    world.check(&guest, BONUS).await;
    assert_eq!(world.violations().await, vec![]);
}

/// With the times of production: who paid at a copy that died right after the charge has the answer within 10 s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_process_died_ends_within_ten_seconds() {
    let world = World::start().await;
    let guest = world.guest().await;
    let death = Befalls::new(point("charge", Way::Forward, Moment::Effected), Mishap::Death, 1);
    let copy = world.copy_with(death, Rules::default());
    let begun = Instant::now();
    world.pay_at(&copy, &guest, BONUS).await.unwrap();
    println!("paid {:?} after its process died", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    world.check(&guest, BONUS).await;
}
