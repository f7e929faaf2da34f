//! A payment takes an order, lets it go or pays for it; of two, one.

use artel_proto::order::{Order, OrderPaid, OrderStatus};
use artel_repo::Commit;
use artel_util::new_id;
use futures::future::join_all;
use tonic::Code;

use super::world::*;

#[tokio::test]
async fn a_payment_takes_an_order_and_pays_for_it_once() {
    let mut world = World::start().await;
    let (anna, billing, payment) = (world.person("anna"), world.billing(), new_id());
    let order = anna.place(&[(&new_id(), 2)], "").await.unwrap();

    let taken = billing.claim(&order.id, &payment, "anna").await.unwrap();
    assert_eq!((taken.status(), taken.payment_id.as_str()), (OrderStatus::Paying, payment.as_str()));
    assert_eq!(billing.claim(&order.id, &payment, "anna").await.unwrap(), taken);
    assert_eq!(anna.cancel(&order.id).await.unwrap_err().reason(), "ORDER_BEING_PAID");
    let other = new_id();
    assert_eq!(billing.claim(&order.id, &other, "anna").await.unwrap_err().reason(), "ORDER_BEING_PAID");
    assert_eq!(billing.paid(&order.id, &other, 0).await.unwrap_err().reason(), "ORDER_BEING_PAID");
    let refused = billing.paid(&order.id, &payment, 2 * PRICE + 1).await.unwrap_err();
    assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "bonusMinor"));

    let paid = billing.paid(&order.id, &payment, 500).await.unwrap();
    assert_eq!((paid.status(), paid.bonus_minor), (OrderStatus::Paid, 500));
    assert!(paid.pay_time.is_some() && paid.expire_time.is_none());
    assert_eq!(billing.paid(&order.id, &payment, 500).await.unwrap(), paid);
    assert_eq!(billing.claim(&order.id, &payment, "anna").await.unwrap(), paid);
    for refused in [
        billing.claim(&order.id, &other, "anna").await.unwrap_err(),
        billing.release(&order.id, &payment).await.unwrap_err(),
        anna.cancel(&order.id).await.unwrap_err(),
    ] {
        assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "ORDER_PAID"));
    }

    let told: OrderPaid = world.told().await;
    assert_eq!((told.payment_id, told.order.unwrap()), (payment, paid));
    assert_eq!(world.count("outbox WHERE name = 'order.paid'").await, 1);
}

#[tokio::test]
async fn an_order_that_was_let_go_is_free_for_another_payment_and_never_for_the_same() {
    let world = World::start().await;
    let (anna, billing, first, second) = (world.person("anna"), world.billing(), new_id(), new_id());
    let order = anna.place(&[(&new_id(), 1)], "").await.unwrap();
    billing.claim(&order.id, &first, "anna").await.unwrap();
    for _ in 0..2 {
        billing.release(&order.id, &first).await.unwrap();
    }
    assert_eq!(billing.claim(&order.id, &first, "anna").await.unwrap_err().reason(), "CLAIM_RELEASED");
    assert_eq!(billing.paid(&order.id, &first, 0).await.unwrap_err().reason(), "ORDER_NOT_CLAIMED");
    billing.claim(&order.id, &second, "anna").await.unwrap();
    // Late and again: the other's stays.
    billing.release(&order.id, &first).await.unwrap();
    assert_eq!(billing.paid(&order.id, &second, 0).await.unwrap().status(), OrderStatus::Paid);
}

#[tokio::test]
async fn a_claim_that_comes_after_its_release_is_refused() {
    let world = World::start().await;
    let (anna, billing, payment) = (world.person("anna"), world.billing(), new_id());
    let order = anna.place(&[(&new_id(), 1)], "").await.unwrap();
    billing.release(&order.id, &payment).await.unwrap();
    assert_eq!(billing.claim(&order.id, &payment, "anna").await.unwrap_err().reason(), "CLAIM_RELEASED");
    // What there is not can be let go, too.
    billing.release(&new_id(), &payment).await.unwrap();
    assert_eq!(anna.cancel(&order.id).await.unwrap().status(), OrderStatus::Cancelled);
    assert_eq!(billing.claim(&order.id, &new_id(), "anna").await.unwrap_err().reason(), "ORDER_CANCELLED");
}

#[tokio::test]
async fn an_order_of_somebody_else_is_not_there() {
    let world = World::start().await;
    let billing = world.billing();
    let order = world.person("anna").place(&[(&new_id(), 1)], "").await.unwrap();
    for (id, user) in [(order.id.as_str(), "boris"), (new_id().as_str(), "anna")] {
        let refused = billing.claim(id, &new_id(), user).await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::NotFound, "ORDER_NOT_FOUND"));
    }
}

/// Of payments, cancellations and releases of one order at once, what won is what all see.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_payments_at_once_one_takes_the_order() {
    let world = World::start().await;
    let (anna, billing) = (world.person("anna"), world.billing());
    for round in 0..10 {
        let order = anna.place(&[(&new_id(), 1)], "").await.unwrap();
        let payments: Vec<String> = (0..6).map(|_| new_id()).collect();
        let claims = payments.iter().map(|payment| billing.claim(&order.id, payment, "anna"));
        let (claims, cancelled) = tokio::join!(join_all(claims), anna.cancel(&order.id));
        let won: Vec<_> = claims.iter().filter(|claim| claim.is_ok()).collect();
        assert_eq!(won.len() + usize::from(cancelled.is_ok()), 1, "round {round}");
        for refused in claims.iter().filter_map(|claim| claim.as_ref().err()) {
            let expected = ["ORDER_BEING_PAID", "ORDER_CANCELLED", "ORDER_CONTENDED"];
            assert!(expected.contains(&refused.reason()), "{refused}");
        }
    }
}

/// A claim and its release at once: in the end the payment does not have the order, whichever came first.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_and_its_release_at_once_leave_the_order_free() {
    let world = World::start().await;
    let (anna, billing) = (world.person("anna"), world.billing());
    for _ in 0..20 {
        let (order, payment) = (anna.place(&[(&new_id(), 1)], "").await.unwrap(), new_id());
        let (_, released) =
            tokio::join!(billing.claim(&order.id, &payment, "anna"), billing.release(&order.id, &payment));
        released.unwrap();
        let now: Order = world.repo().get(&billing.call, &order.id).await.unwrap().unwrap();
        assert_eq!((now.status(), now.payment_id.as_str()), (OrderStatus::Placed, ""));
        assert_eq!(billing.claim(&order.id, &payment, "anna").await.unwrap_err().reason(), "CLAIM_RELEASED");
    }
}

/// The negative control of the two above: without the version that was read, two take one order.
#[tokio::test]
async fn without_the_version_two_payments_take_one_order() {
    let world = World::start().await;
    let (repo, call) = (world.repo(), world.mesh.host("order").call());
    let order = world.person("anna").place(&[(&new_id(), 1)], "").await.unwrap();
    let take = |payment: &str, version: i64| {
        let mut taken = order.clone();
        taken.set_status(OrderStatus::Paying);
        taken.payment_id = payment.to_owned();
        Commit::new().update(&taken, &["status", "payment_id"]).expect_version(version)
    };
    repo.commit(&call, take("first", 0)).await.unwrap();
    repo.commit(&call, take("second", 0)).await.unwrap();
    let refused = repo.commit(&call, take("third", order.version)).await.unwrap_err();
    assert_eq!(refused.reason(), "PRECONDITION_FAILED");
}
