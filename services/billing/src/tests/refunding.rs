//! Money back: in parts that add up, never more than was taken, once for a key.

use std::sync::atomic::Ordering;

use artel_process::{Mishap, Moment, Process as _};
use artel_proto::billing::{Payment, PaymentStatus, ReceiptKind, Refund, RefundPaymentRequest, RefundStatus};
use artel_proto::bonus::BonusAccount;
use artel_proto::order::Order;
use artel_util::new_id;
use artel_vendors::{Act, Faults};
use tonic::Code;

use super::world::{Befalls, DEADLINE, POINTS, PRICE, World};
use crate::refund::{Refunding, Refunds, refund};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_add_up_and_the_last_takes_what_is_left() {
    let world = World::start().await;
    let guest = world.guest().await;
    let paid = world.pay(&guest, 333).await.unwrap();
    let mut parts = Vec::new();
    for amount in [1, 100, 333, 0] {
        let refund = world.refund(&paid.payment_id, amount, &new_id()).await.unwrap();
        assert_eq!(refund.status(), RefundStatus::Completed);
        parts.push((refund.amount_minor, refund.bonus_minor, refund.card_minor));
    }
    assert_eq!(parts, [(1, 0, 1), (100, 33, 67), (333, 111, 222), (566, 189, 377)]);
    assert_eq!(world.moved(&paid.payment_id), (667, 1, 667));
    let points: BonusAccount = world.get(&guest.call.user.as_ref().unwrap().id).await.unwrap();
    assert_eq!(points.balance, POINTS);
    let refused = world.refund(&paid.payment_id, 1, &new_id()).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "REFUND_TOO_MUCH"));
    let shown = world.payment_as(&guest.call, &paid.payment_id).await.unwrap();
    assert_eq!((shown.refunds.len(), shown.receipts.len()), (4, 5));
    let back = shown.receipts.iter().filter(|receipt| receipt.kind() == ReceiptKind::SellRefund);
    assert_eq!(back.map(|receipt| receipt.amount_minor).sum::<i64>(), PRICE);
    assert_eq!((world.told("payment.refunded").await, world.told("receipt.queued").await), (4, 5));
    assert_eq!(world.violations().await, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_gives_back_once_and_what_cannot_be_is_refused() {
    let world = World::start().await;
    let guest = world.guest().await;
    let paid = world.pay(&guest, 300).await.unwrap();
    let cashier = world.cashier();
    let one = world.refund_as(&cashier, &paid.payment_id, 400, "key").await.unwrap();
    assert_eq!(world.refund_as(&cashier, &paid.payment_id, 400, "key").await.unwrap().id, one.id);
    let other = world.refund_as(&cashier, &paid.payment_id, 100, "key").await.unwrap_err();
    assert_eq!(other.reason(), "IDEMPOTENCY_KEY_REUSED");
    let much = world.refund(&paid.payment_id, 601, &new_id()).await.unwrap_err();
    assert_eq!((much.reason(), much.get("left")), ("REFUND_TOO_MUCH", Some("600")));
    let none = world.refund(&new_id(), 1, &new_id()).await.unwrap_err();
    assert_eq!((none.code(), none.reason()), (Code::NotFound, "PAYMENT_NOT_FOUND"));
    let not_allowed = world.refund_as(&guest.call, &paid.payment_id, 1, &new_id()).await.unwrap_err();
    assert_eq!(not_allowed.code(), Code::PermissionDenied);
    assert_eq!(world.moved(&paid.payment_id), (700, 1, 280));

    let declined = world.guest().await;
    world.bank_is(Faults::script([Act::Decline]));
    world.pay(&declined, 0).await.unwrap_err();
    let failed = world.payments_of(&declined).await.remove(0);
    assert_eq!(failed.status(), PaymentStatus::Failed);
    let nothing = world.refund(&failed.id, 1, &new_id()).await.unwrap_err();
    assert_eq!(nothing.reason(), "PAYMENT_NOT_CAPTURED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_its_owners_and_the_cashiers_to_see() {
    let world = World::start().await;
    let (guest, stranger) = (world.guest().await, world.guest().await);
    let paid = world.pay(&guest, 0).await.unwrap();
    let shown = world.payment_as(&world.cashier(), &paid.payment_id).await.unwrap();
    assert_eq!(shown.payment.unwrap().card_token, "");
    world.payment_as(&guest.call, &paid.payment_id).await.unwrap();
    let hidden = world.payment_as(&stranger.call, &paid.payment_id).await.unwrap_err();
    assert_eq!((hidden.code(), hidden.reason()), (Code::NotFound, "PAYMENT_NOT_FOUND"));
}

/// What the bank loses, fails or refuses: given back once, or not at all and free to be given back again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_bank_does_it_gives_back_once_or_not() {
    let world = World::start().await;
    for acts in [vec![Act::Lose], vec![Act::Fail], vec![Act::Fail, Act::Lose], vec![Act::Decline]] {
        let guest = world.guest().await;
        let paid = world.pay(&guest, 300).await.unwrap();
        let declines = acts.contains(&Act::Decline);
        world.bank_is(Faults::script(acts));
        let answer = world.refund(&paid.payment_id, 500, &new_id()).await;
        world.bank_is(Faults::default());
        if declines {
            assert_eq!(answer.unwrap_err().reason(), "REFUND_REFUSED");
            assert_eq!(world.moved(&paid.payment_id), (700, 1, 0));
        } else {
            assert_eq!(answer.unwrap().card_minor, 350);
            assert_eq!(world.moved(&paid.payment_id), (700, 1, 350));
        }
        // Either way all that is left can be given back, and no more.
        world.refund(&paid.payment_id, 0, &new_id()).await.unwrap();
        assert_eq!(world.moved(&paid.payment_id), (700, 1, 700));
    }
    assert_eq!(world.violations().await, vec![]);
}

/// A death at every point of a refund: enumerated from its table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_any_point_of_a_refund_gives_back_once() {
    let world = World::start().await;
    let both = Refunding {
        refund: Refund { bonus_minor: 1, card_minor: 1, ..Refund::default() },
        payment: Payment::default(),
        order: Order::default(),
    };
    let points = Refunds::table().points(&both);
    assert_eq!(points.len(), 1 + 2 * 2 + 1);
    let cases = points.into_iter().map(|at| {
        let world = &world;
        async move {
            let guest = world.guest().await;
            let paid = world.pay(&guest, 300).await.unwrap();
            let death = Befalls::new(at, Mishap::Death, 1);
            let struck = death.struck.clone();
            let (copy, cashier) = (world.refunds(death), world.cashier());
            let asked = RefundPaymentRequest {
                id: paid.payment_id.clone(),
                amount_minor: 500,
                idempotency_key: new_id(),
                comment: String::new(),
            };
            let mut refunded = refund(&copy, &cashier, &asked, DEADLINE).await;
            if at.moment == Moment::Unrecorded {
                assert_eq!(refunded.unwrap_err().reason(), "PROCESS_DIED");
                let key = &asked.idempotency_key;
                refunded = world.refund_as(&cashier, &paid.payment_id, 500, key).await;
            }
            let refunded = refunded.unwrap();
            assert_eq!(struck.load(Ordering::Relaxed), 1, "{at:?}");
            assert_eq!((refunded.bonus_minor, refunded.card_minor), (150, 350));
            assert_eq!(world.moved(&paid.payment_id), (700, 1, 350), "{at:?}");
            let points: BonusAccount = world.get(&guest.call.user.as_ref().unwrap().id).await.unwrap();
            assert_eq!(points.balance, POINTS - 150, "{at:?}");
        }
    });
    futures::future::join_all(cases).await;
    assert_eq!(world.told("payment.refunded").await, 6);
    assert_eq!(world.violations().await, vec![]);
}

/// Sixteen cashiers give back of one payment at once, together more than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refunds_at_once_never_give_back_more_than_was_taken() {
    let world = World::start().await;
    let guest = world.guest().await;
    let paid = world.pay(&guest, 333).await.unwrap();
    let keys: Vec<String> = (0..16).map(|_| new_id()).collect();
    let asked = keys.iter().map(|key| world.refund(&paid.payment_id, 170, key));
    let answers = futures::future::join_all(asked).await;
    let given: i64 = answers.iter().flatten().map(|refund| refund.amount_minor).sum();
    assert!((170..=PRICE).contains(&given), "{given}");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(refused.reason(), "REFUND_TOO_MUCH" | "PAYMENT_CONTENDED"), "{refused}");
    }
    let left = PRICE - given;
    if left > 0 {
        world.refund(&paid.payment_id, 0, &new_id()).await.unwrap();
    }
    assert_eq!(world.moved(&paid.payment_id), (667, 1, 667));
    assert_eq!(world.violations().await, vec![]);
}
