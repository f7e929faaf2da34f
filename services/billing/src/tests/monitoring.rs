//! The monitor sees in the rows of all services what is broken there.

use artel_proto::billing::{Payment, Receipt};
use artel_proto::bonus::BonusAccount;
use artel_proto::order::{Order, OrderStatus};
use artel_proto::robotics::{Reservation, ReservationStatus};
use artel_repo::{Commit, Delta};

use chrono::Utc;

use super::world::{World, until};
use crate::monitor::Monitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_in_the_rows_is_counted_and_named() {
    let world = World::start().await;
    let (guest, failing) = (world.guest().await, world.guest().await);
    let paid = world.pay(&guest, 300).await.unwrap();
    world.bank_is(artel_vendors::Faults::script([artel_vendors::Act::Decline]));
    world.pay(&failing, 300).await.unwrap_err();
    let failed = world.payments_of(&failing).await.remove(0);
    assert_eq!(world.violations().await, vec![]);

    let user = guest.call.user.as_ref().unwrap().id.clone();
    let mut order: Order = world.get(&guest.order.id).await.unwrap();
    order.set_status(OrderStatus::Cancelled);
    let mut reservation: Reservation = world.get(&failed.id).await.unwrap();
    reservation.set_status(ReservationStatus::Held);
    let broken = Commit::new()
        .update(&order, &["status"])
        .update(&reservation, &["status"])
        .delete::<Receipt>(&paid.payment_id)
        .adjust::<Payment>(&paid.payment_id, [Delta::add("refunded_minor", 1)])
        .adjust::<BonusAccount>(&user, [Delta::add("balance", 1)]);
    world.repo().commit(&world.call(), broken).await.unwrap();
    let monitor = Monitor::new(world.repo());
    for name in ["money_adds_up", "points_add_up", "failed_leaves_nothing"] {
        shows(&world, &monitor, name, 1.0).await;
    }
    let counted = world.violations().await;
    let expected = [
        ("captured_is_paid_or_refunded", paid.payment_id.clone()),
        ("failed_leaves_nothing", failed.id),
        ("paid_order_has_one_receipt", paid.payment_id.clone()),
        ("money_adds_up", paid.payment_id),
        ("points_add_up", user.clone()),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, id)| (name.to_owned(), 1, vec![id])).collect();
    assert_eq!(counted, expected);

    // What was broken is looked at until it is mended, also when nothing happens to the payment any more.
    shows(&world, &monitor, "points_add_up", 1.0).await;
    let mended = Commit::new().adjust::<BonusAccount>(&user, [Delta::add("balance", -1)]);
    world.repo().commit(&world.call(), mended).await.unwrap();
    shows(&world, &monitor, "points_add_up", 0.0).await;
    shows(&world, &monitor, "money_adds_up", 1.0).await;
}

/// Watches until the metrics say so. The service's own watch, which writes the same gauge, has not come this far yet.
async fn shows(world: &World, monitor: &Monitor, name: &str, violations: f64) {
    until(name, || async {
        monitor.watch_until(&world.call(), Utc::now()).await.unwrap();
        gauge(world, name).await == Some(violations)
    })
    .await;
}

/// What the metrics page of `billing` says.
async fn gauge(world: &World, name: &str) -> Option<f64> {
    let page = reqwest::get(format!("{}/metrics", world.url)).await.unwrap().text().await.unwrap();
    let line = format!("artel_billing_invariant_violations{{invariant=\"{name}\"}} ");
    page.lines().find_map(|row| row.strip_prefix(&line))?.parse().ok()
}
