//! What a guest may ask for, and what is refused.

use std::time::{Duration, Instant};

use artel_proto::billing::{PayOrderRequest, PaymentStatus};
use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::{CancelOrderRequest, Order};
use artel_proto::robotics::Ingredient;
use artel_repo::{Commit, Delta};
use artel_util::new_id;
use tonic::Code;

use super::world::{POINTS, PRICE, World, read};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_paid_by_card_by_points_and_by_both() {
    let world = World::start().await;
    for bonus in [0, 300, PRICE] {
        let guest = world.guest().await;
        let paid = world.pay(&guest, bonus).await.unwrap();
        assert_eq!((paid.amount_minor, paid.bonus_minor, paid.card_minor), (PRICE, bonus, PRICE - bonus));
        assert_eq!((paid.board_number, paid.currency.as_str()), (guest.order.board_number, "KZT"));
        assert_eq!(paid.transaction_id.is_empty(), bonus == PRICE);
        let payment = world.check(&guest, bonus).await;
        assert_eq!(
            (payment.id, payment.card.as_str()),
            (paid.payment_id, if bonus < PRICE { "****1234" } else { "" })
        );
    }
    assert_eq!(world.violations().await, vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_is_the_same_answer_and_another_finds_the_order_paid() {
    let world = World::start().await;
    let mut guest = world.guest().await;
    let paid = world.pay(&guest, 300).await.unwrap();
    assert_eq!(world.pay(&guest, 300).await.unwrap(), paid);
    let other = PayOrderRequest { bonus_amount: 200, ..guest.asked(300) };
    assert_eq!(world.ask(&guest, other).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    guest.key = new_id();
    let refused = world.pay(&guest, 300).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "ORDER_PAID"));
    assert_eq!(world.pay(&guest, 300).await.unwrap_err().reason(), "ORDER_PAID");
    assert_eq!(world.moved(&paid.payment_id), (700, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_the_same_when_asked_again_and_another_key_may_succeed() {
    let world = World::start().await;
    let mut guest = world.guest().await;
    let declined = PayOrderRequest { card_token: "tok_insufficient_1".to_owned(), ..guest.asked(300) };
    let refused = world.ask(&guest, declined.clone()).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "CARD_DECLINED"));
    let again = world.ask(&guest, declined).await.unwrap_err();
    assert_eq!(
        (again.reason(), again.message(), again.get("bankReason")),
        (refused.reason(), refused.message(), refused.get("bankReason"))
    );
    assert_eq!(world.check(&guest, 300).await.reason, "CARD_DECLINED");
    assert_eq!(world.told("payment.failed").await, 1);
    guest.key = new_id();
    world.pay(&guest, 300).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_names_the_field_and_changes_nothing() {
    let world = World::start().await;
    let guest = world.guest().await;
    let asked = guest.asked(0);
    let wrong = [
        (PayOrderRequest { bonus_amount: -1, ..asked.clone() }, "bonusAmount"),
        (PayOrderRequest { bonus_amount: PRICE + 1, ..asked.clone() }, "bonusAmount"),
        (PayOrderRequest { card_token: String::new(), ..asked.clone() }, "cardToken"),
        (PayOrderRequest { order_id: "7".to_owned(), ..asked.clone() }, "orderId"),
        (PayOrderRequest { idempotency_key: String::new(), ..asked.clone() }, "idempotencyKey"),
    ];
    for (asked, field) in wrong {
        let refused = world.ask(&guest, asked).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, field));
    }
    let stranger = world.guest().await;
    for order_id in [guest.order.id.clone(), new_id()] {
        let refused =
            world.ask(&stranger, PayOrderRequest { order_id, ..stranger.asked(0) }).await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::NotFound, "ORDER_NOT_FOUND"));
    }
    assert_eq!(world.payments_of(&guest).await, vec![]);
    let same: Order = world.get(&guest.order.id).await.unwrap();
    assert_eq!(same.version, 1);
    // The key is free still.
    world.pay(&guest, 0).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_points_than_there_are_are_refused_and_all_comes_back() {
    let world = World::start().await;
    let guest = world.guest().await;
    // Another order of the same guest has taken nearly all.
    let user = &guest.call.user.as_ref().unwrap().id;
    let spent = Delta::add("balance", 200 - POINTS);
    let commit = Commit::new().adjust::<artel_proto::bonus::BonusAccount>(user, [spent]);
    world.repo().commit(&world.call(), commit).await.unwrap();
    let refused = world.pay(&guest, 300).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "BONUS_SHORT"));
    let stock: Ingredient = world.get(&guest.ingredient).await.unwrap();
    let order: Order = world.get(&guest.order.id).await.unwrap();
    assert_eq!((stock.stock, order.payment_id.as_str()), (super::world::STOCK, ""));
    assert_eq!(world.bank.ledger(), vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_order_and_a_dish_that_ran_out_are_refused() {
    let world = World::start().await;
    let guest = world.guest().await;
    let orders = OrderServiceClient::new(world.mesh.host("test").channel("order"));
    let cancel = CancelOrderRequest { id: guest.order.id.clone() };
    read(orders.clone().cancel_order(guest.call.request(cancel)).await).unwrap();
    assert_eq!(world.pay(&guest, 0).await.unwrap_err().reason(), "ORDER_CANCELLED");

    let guest = world.guest().await;
    let eaten =
        Commit::new().adjust::<Ingredient>(&guest.ingredient, [Delta::add("stock", -super::world::STOCK)]);
    world.repo().commit(&world.call(), eaten).await.unwrap();
    let refused = world.pay(&guest, 300).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "INGREDIENTS_SHORT"));
    let order: Order = world.get(&guest.order.id).await.unwrap();
    assert_eq!(order.payment_id, "");
    assert_eq!(world.bank.ledger(), vec![]);
}

/// Eight payments of one order at the same moment, each with a key of its own: one pays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_payments_of_one_order_at_once_one_pays() {
    let world = World::start().await;
    for _ in 0..4 {
        let guest = world.guest().await;
        let asked = (0..8).map(|_| PayOrderRequest { idempotency_key: new_id(), ..guest.asked(300) });
        let answers = futures::future::join_all(asked.map(|asked| world.ask(&guest, asked))).await;
        let (paid, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(paid.len(), 1, "{refused:?}");
        for refused in refused {
            let reason = refused.unwrap_err().reason().to_owned();
            assert!(
                matches!(reason.as_str(), "ORDER_BEING_PAID" | "ORDER_PAID" | "ORDER_CONTENDED"),
                "{reason}"
            );
        }
        let payments = world.payments_of(&guest).await;
        let completed = payments.iter().filter(|payment| payment.status() == PaymentStatus::Completed);
        assert_eq!(completed.count(), 1);
        let taken: i64 = payments.iter().map(|payment| world.moved(&payment.id).0).sum();
        assert_eq!(taken, 700);
    }
    assert_eq!(world.violations().await, vec![]);
}

/// The same key eight times at the same moment is one payment and one answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_once_is_one_payment_and_one_answer() {
    let world = World::start().await;
    let guest = world.guest().await;
    let answers = futures::future::join_all((0..8).map(|_| world.pay(&guest, 300))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    world.check(&guest, 300).await;
}

/// Not a promise but a figure: how long a payment takes over this mesh, and how many commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_takes_seven_commits_of_billing() {
    let world = World::start().await;
    let mut times = Vec::new();
    for _ in 0..40 {
        let guest = world.guest().await;
        let begun = Instant::now();
        let paid = world.pay(&guest, 300).await.unwrap();
        times.push(begun.elapsed());
        let saga: artel_process::Saga = world.get(&paid.payment_id).await.unwrap();
        assert_eq!(saga.version, 7, "six steps are seven commits");
    }
    times.sort_unstable();
    println!("a payment: p50 {:?}, p95 {:?}", times[times.len() / 2], times[times.len() * 95 / 100]);
    assert!(times[0] < Duration::from_secs(10));
}
