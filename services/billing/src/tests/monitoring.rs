//! The monitor sees in the rows of all services what is broken there.

use artel_proto::billing::{Payment, Receipt};
use artel_proto::bonus::BonusAccount;
use artel_proto::order::{Order, OrderStatus};
use artel_proto::robotics::{Reservation, ReservationStatus};
use artel_repo::{Commit, Delta};

use super::world::World;

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
    let counted = world.violations().await;
    let expected = [
        ("captured_is_paid_or_refunded", paid.payment_id.clone()),
        ("failed_leaves_nothing", failed.id),
        ("paid_order_has_one_receipt", paid.payment_id.clone()),
        ("money_adds_up", paid.payment_id),
        ("points_add_up", user),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, id)| (name.to_owned(), 1, vec![id])).collect();
    assert_eq!(counted, expected);
}
