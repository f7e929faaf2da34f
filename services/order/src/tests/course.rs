//! From the kitchen to the guest: forward only, whatever order the news come in and however often.

use artel_handle::Listener as _;
use artel_proto::billing::{PaymentRefunded, Refund};
use artel_proto::order::{Order, OrderHandedOver, OrderStatus};
use artel_queue::Failure;
use artel_util::new_id;
use tonic::Code;

use super::world::*;
use crate::dining::News;

fn refunded(order: &Order, payment_id: &str, amount_minor: i64) -> PaymentRefunded {
    PaymentRefunded {
        payment_id: payment_id.to_owned(),
        order_id: order.id.clone(),
        refund: Some(Refund { amount_minor, ..Refund::default() }),
        ..PaymentRefunded::default()
    }
}

async fn now(world: &World, order: &Order) -> Order {
    world.repo().get(&world.mesh.host("order").call(), &order.id).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_order_is_cooked_called_and_handed_over_and_its_number_is_free() {
    let mut world = World::start().await;
    let order = world.paid().await;
    let staff = world.person("staff");
    let early = staff.hand_over(&order.id).await.unwrap_err();
    assert_eq!((early.code(), early.reason()), (Code::FailedPrecondition, "ORDER_NOT_READY"));
    let nowhere = staff.hand_over(&new_id()).await.unwrap_err();
    assert_eq!((nowhere.code(), nowhere.reason()), (Code::NotFound, "ORDER_NOT_FOUND"));

    world.deliver(preparing(&order)).await.unwrap();
    assert_eq!(now(&world, &order).await.status(), OrderStatus::Preparing);
    world.deliver(ready(&order)).await.unwrap();
    let done = staff.hand_over(&order.id).await.unwrap();
    assert_eq!(done.status(), OrderStatus::HandedOver);
    assert_eq!(staff.hand_over(&order.id).await.unwrap(), done);
    assert_eq!(world.told::<OrderHandedOver>().await.order.unwrap(), done);
    assert_eq!(world.count("board_numbers").await, 0);
    assert_eq!(world.count("board_moves").await, 3);
    // Late news change nothing.
    world.deliver(preparing(&order)).await.unwrap();
    assert_eq!(now(&world, &order).await, done);
    // Money that goes back later is noted, and takes nothing from the guest.
    world.deliver(refunded(&order, &order.payment_id, PRICE)).await.unwrap();
    let back = now(&world, &order).await;
    assert_eq!((back.status(), back.refunded_minor), (OrderStatus::HandedOver, PRICE));
    assert_eq!(world.count("board_moves").await, 3);
    assert_eq!(world.count("outbox WHERE name = 'order.handed_over'").await, 1);
}

#[tokio::test]
async fn an_event_that_comes_again_changes_nothing() {
    let world = World::start().await;
    let order = world.paid().await;
    let (news, delivery, event) = (News::new(world.course()), world.delivery(), preparing(&order));
    for _ in 0..2 {
        news.hear(&delivery, event.clone()).await.unwrap();
    }
    assert_eq!((now(&world, &order).await.version, world.count("board_moves").await), (order.version + 1, 1));
}

#[tokio::test]
async fn ready_may_come_before_preparing() {
    let world = World::start().await;
    let order = world.paid().await;
    world.deliver(ready(&order)).await.unwrap();
    world.deliver(preparing(&order)).await.unwrap();
    let cooked = now(&world, &order).await;
    assert_eq!(cooked.status(), OrderStatus::Ready);
    assert!(cooked.start_time.is_some() && cooked.ready_time.is_some());
    assert_eq!(world.count("board_moves").await, 1);
}

#[tokio::test]
async fn what_is_wholly_refunded_leaves_the_board_and_what_is_partly_does_not() {
    let world = World::start().await;
    let order = world.paid().await;
    world.deliver(preparing(&order)).await.unwrap();
    world.deliver(refunded(&order, &order.payment_id, PRICE - 1)).await.unwrap();
    // Of a payment that did not pay for it: it says nothing about this order.
    world.deliver(refunded(&order, &new_id(), PRICE)).await.unwrap();
    assert_eq!(now(&world, &order).await.status(), OrderStatus::Preparing);
    // The rest, which comes twice.
    let (news, delivery, rest) =
        (News::new(world.course()), world.delivery(), refunded(&order, &order.payment_id, 1));
    for _ in 0..2 {
        news.hear(&delivery, rest.clone()).await.unwrap();
    }
    let back = now(&world, &order).await;
    assert_eq!((back.status(), back.refunded_minor), (OrderStatus::Refunded, PRICE));
    assert_eq!(world.count("board_numbers").await, 0);
    // The robots may not know yet.
    world.deliver(ready(&order)).await.unwrap();
    assert_eq!(now(&world, &order).await, back);
    let staff = world.person("staff").hand_over(&order.id).await.unwrap_err();
    assert_eq!(staff.reason(), "ORDER_NOT_READY");
    let hollow = PaymentRefunded { refund: None, ..refunded(&order, &order.payment_id, 0) };
    assert!(matches!(world.deliver(hollow).await, Err(Failure::Permanent(_))));
}

#[tokio::test]
async fn what_nobody_takes_is_handed_over_after_a_while() {
    let mut world = World::start().await;
    let (left, young) = (world.paid().await, world.paid().await);
    world.deliver(ready(&left)).await.unwrap();
    world.deliver(ready(&young)).await.unwrap();
    world
        .sql(&format!("UPDATE orders SET ready_time = now() - interval '2 hours' WHERE id = '{}'", left.id))
        .await;
    // By the job of the service.
    assert_eq!(world.told::<OrderHandedOver>().await.order_id, left.id);
    assert_eq!(now(&world, &young).await.status(), OrderStatus::Ready);
    assert_eq!(world.count("board_numbers").await, 1);
}
