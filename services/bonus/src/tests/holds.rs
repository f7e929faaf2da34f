use artel_proto::bonus::{BonusEntryKind, BonusHoldStatus};
use artel_util::new_id;
use tonic::Code;

use super::world::World;

#[tokio::test]
async fn what_is_held_is_spent_once_however_often_it_is_asked_for() {
    let world = World::start().await;
    let (guest, payment) = (world.guest(100).await, new_id());
    let held = world.hold(&payment, &guest, 60).await.unwrap();
    assert_eq!((held.status(), held.amount), (BonusHoldStatus::Held, 60));
    // The balance would not do for another one, and it is the same one.
    assert_eq!(world.hold(&payment, &guest, 60).await.unwrap(), held);
    assert_eq!(world.points(&guest).await, (40, 60, 0));

    for _ in 0..3 {
        world.spend(&payment).await.unwrap();
    }
    assert_eq!(world.points(&guest).await, (40, 0, 0));
    let entries = world.entries(&guest).await;
    assert_eq!((entries.len(), entries[0].kind(), entries[0].amount), (2, BonusEntryKind::Spend, -60));
    assert_eq!(world.hold(&payment, &guest, 60).await.unwrap().status(), BonusHoldStatus::Spent);
    let refused = world.release(&payment, &guest).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "HOLD_SPENT"));
    assert_eq!(world.points(&guest).await, (40, 0, 0));
}

#[tokio::test]
async fn what_is_given_back_stays_given_back() {
    let world = World::start().await;
    let (guest, payment) = (world.guest(100).await, new_id());
    world.hold(&payment, &guest, 100).await.unwrap();
    for _ in 0..3 {
        world.release(&payment, &guest).await.unwrap();
    }
    assert_eq!(world.points(&guest).await, (100, 0, 0));
    let again = world.hold(&payment, &guest, 100).await.unwrap_err();
    assert_eq!((again.code(), again.reason()), (Code::FailedPrecondition, "HOLD_RELEASED"));
    assert_eq!(world.spend(&payment).await.unwrap_err().reason(), "HOLD_RELEASED");
    assert_eq!((world.points(&guest).await, world.entries(&guest).await.len()), ((100, 0, 0), 1));
}

#[tokio::test]
async fn a_hold_that_comes_after_its_release_is_refused() {
    let world = World::start().await;
    let (guest, payment) = (world.guest(100).await, new_id());
    assert_eq!(world.spend(&payment).await.unwrap_err().reason(), "HOLD_NOT_FOUND");
    for _ in 0..2 {
        world.release(&payment, &guest).await.unwrap();
    }
    assert_eq!(world.hold(&payment, &guest, 10).await.unwrap_err().reason(), "HOLD_RELEASED");
    assert_eq!(world.points(&guest).await, (100, 0, 0));
}

#[tokio::test]
async fn more_than_there_is_is_refused_and_changes_nothing() {
    let world = World::start().await;
    let (rich, poor) = (world.guest(100).await, world.guest(0).await);
    for (guest, amount, balance) in [(&rich, 101, "100"), (&poor, 1, "0")] {
        let refused = world.hold(&new_id(), guest, amount).await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "BONUS_SHORT"));
        assert_eq!((refused.get("balance"), refused.fields()[0].field.as_str()), (Some(balance), "amount"));
    }
    for amount in [0, -5] {
        let refused = world.hold(&new_id(), &rich, amount).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "amount"));
    }
    assert_eq!((world.points(&rich).await, world.points(&poor).await), ((100, 0, 0), (0, 0, 0)));
    // The id of a hold is good for that hold only.
    let payment = new_id();
    world.hold(&payment, &rich, 10).await.unwrap();
    assert_eq!(world.hold(&payment, &rich, 11).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.points(&rich).await, (90, 10, 0));
}

#[tokio::test]
async fn spent_points_come_back_once_for_each_refund_and_never_more_than_were_spent() {
    let world = World::start().await;
    let (guest, payment, refund) = (world.guest(100).await, new_id(), new_id());
    world.hold(&payment, &guest, 100).await.unwrap();
    let early = world.give_back(&refund, &payment, 1).await.unwrap_err();
    assert_eq!((early.reason(), early.get("left")), ("BONUS_RETURNED", Some("0")));
    world.spend(&payment).await.unwrap();
    for _ in 0..3 {
        world.give_back(&refund, &payment, 30).await.unwrap();
    }
    assert_eq!(world.points(&guest).await, (30, 0, 0));
    assert_eq!(world.give_back(&refund, &payment, 31).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    let refused = world.give_back(&new_id(), &payment, 71).await.unwrap_err();
    assert_eq!((refused.reason(), refused.get("left")), ("BONUS_RETURNED", Some("70")));
    world.give_back(&new_id(), &payment, 70).await.unwrap();
    assert_eq!(world.points(&guest).await, (100, 0, 0));
    assert_eq!(world.give_back(&new_id(), &new_id(), 1).await.unwrap_err().reason(), "HOLD_NOT_FOUND");
}

#[tokio::test]
async fn a_gift_is_given_once_for_a_key_and_by_managers_alone() {
    let world = World::start().await;
    let (guest, key) = (world.guest(0).await, new_id());
    let gift = world.grant(&guest, 50, &key).await.unwrap();
    assert_eq!(world.grant(&guest, 50, &key).await.unwrap(), gift);
    assert_eq!((gift.kind(), gift.amount, gift.comment.as_str()), (BonusEntryKind::Grant, 50, "Hello"));
    assert_eq!(world.grant(&guest, 51, &key).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.grant(&new_id(), 1, &new_id()).await.unwrap_err().reason(), "USER_NOT_FOUND");
    let refused = world.grant_as(&["cashier"], &guest, 1, &new_id()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(world.points(&guest).await, (50, 0, 0));
}
