use artel_proto::billing::PaymentStatus;
use artel_proto::bonus::BonusEntryKind;
use artel_queue::Failure;
use artel_util::new_id;

use super::world::{Paid, World};

#[tokio::test]
async fn a_paid_order_earns_once_on_what_was_paid_by_card() {
    let world = World::start().await;
    let guest = world.guest(0).await;
    let order = Paid::of(&guest, 1_059, 50);
    for _ in 0..2 {
        world.paid(&order).await.unwrap();
    }
    // The same news under another id, as after its key was swept.
    world.paid(&Paid { event: new_id(), ..order.clone() }).await.unwrap();
    assert_eq!(world.points(&guest).await, (100, 0, 0));
    let entries = world.entries(&guest).await;
    assert_eq!(
        (entries.len(), entries[0].kind(), &entries[0].order_id),
        (1, BonusEntryKind::Earn, &order.id)
    );
    // All of it paid with points: nothing is earned, and no entry says so.
    world.paid(&Paid::of(&guest, 100, 100)).await.unwrap();
    assert_eq!((world.points(&guest).await, world.entries(&guest).await.len()), ((100, 0, 0), 1));
}

#[tokio::test]
async fn refunds_take_back_what_was_earned_in_proportion_and_all_of_it_in_the_end() {
    let world = World::start().await;
    let guest = world.guest(0).await;
    let order = Paid::of(&guest, 1_000, 0);
    world.paid(&order).await.unwrap();
    let (first, second, third) = (new_id(), new_id(), new_id());
    // The later refund is heard of first, and each twice.
    for (refund, before, amount, left) in
        [(&second, 333, 333, 67), (&first, 0, 333, 34), (&third, 666, 334, 0)]
    {
        for _ in 0..2 {
            world.refunded(&order, refund, before, amount).await.unwrap();
        }
        assert_eq!(world.points(&guest).await, (left, 0, 0));
    }
    // However refunds are cut, no more goes back than was earned.
    world.refunded(&order, &new_id(), 0, 1_000).await.unwrap();
    assert_eq!(world.points(&guest).await, (0, 0, 0));
}

#[tokio::test]
async fn what_was_spent_before_its_refund_is_owed_and_what_comes_next_pays_for_it() {
    let world = World::start().await;
    let guest = world.guest(0).await;
    let order = Paid::of(&guest, 1_000, 0);
    world.paid(&order).await.unwrap();
    let (spent, kept) = (new_id(), new_id());
    world.hold(&spent, &guest, 70).await.unwrap();
    world.spend(&spent).await.unwrap();
    world.hold(&kept, &guest, 20).await.unwrap();
    world.refunded(&order, &new_id(), 0, 1_000).await.unwrap();
    assert_eq!(world.points(&guest).await, (0, 20, 90));
    // Points that were held come back to pay, too: nobody owes points who has some.
    world.release(&kept, &guest).await.unwrap();
    assert_eq!(world.points(&guest).await, (0, 0, 70));
    assert_eq!(world.hold(&new_id(), &guest, 1).await.unwrap_err().reason(), "BONUS_SHORT");
    world.paid(&Paid::of(&guest, 500, 0)).await.unwrap();
    assert_eq!(world.points(&guest).await, (0, 0, 20));
    world.paid(&Paid::of(&guest, 500, 0)).await.unwrap();
    assert_eq!(world.points(&guest).await, (30, 0, 0));
}

#[tokio::test]
async fn a_refund_that_is_heard_of_before_its_order_waits_for_it() {
    let world = World::start().await;
    let guest = world.guest(0).await;
    let (order, refund) = (Paid::of(&guest, 1_000, 0), new_id());
    let early = world.refunded(&order, &refund, 0, 500).await.unwrap_err();
    assert!(matches!(early, Failure::Later { .. }), "{early:?}");
    world.paid(&order).await.unwrap();
    world.refunded(&order, &refund, 0, 500).await.unwrap();
    assert_eq!(world.points(&guest).await, (50, 0, 0));
    // One whose order never came to be paid earned nothing, and nothing is waited for.
    let undone = Paid { status: PaymentStatus::Failed, ..Paid::of(&guest, 1_000, 0) };
    world.refunded(&undone, &new_id(), 0, 1_000).await.unwrap();
    assert_eq!(world.points(&guest).await, (50, 0, 0));
}
