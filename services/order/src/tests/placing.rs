//! Placing dishes: asked of `menu`, numbered, once, and given up when nobody pays.

use std::collections::HashSet;

use artel_proto::menu::Unavailable;
use artel_proto::order::{BoardNumber, OrderCancelled, OrderPlaced, OrderStatus, PlaceOrderItem};
use artel_repo::Commit;
use artel_util::new_id;
use artel_util::time::to_chrono;
use futures::future::join_all;
use tonic::Code;

use super::world::*;

#[tokio::test]
async fn an_order_of_dishes_is_placed_once_with_a_number_and_a_time_to_pay() {
    let mut world = World::start().await;
    let (anna, dish) = (world.person("anna"), new_id());
    let order = anna.place(&[(&dish, 2), (&dish, 1)], "key").await.unwrap();
    assert_eq!(
        (order.items.len(), order.items[0].quantity, order.items[0].dish_id.as_str()),
        (1, 3, dish.as_str())
    );
    assert_eq!(order.total.as_ref().unwrap().amount_minor, 3 * PRICE);
    assert!((1..=999).contains(&order.board_number));
    let wait =
        to_chrono(&order.expire_time.unwrap()).unwrap() - to_chrono(&order.create_time.unwrap()).unwrap();
    assert_eq!(wait.num_minutes(), 15);

    // A lost answer and a retry make one order, also when the dish has run out since.
    world.menu.takes_off(&dish, Unavailable::Ingredients, 0);
    assert_eq!(anna.place(&[(&dish, 2), (&dish, 1)], "key").await.unwrap(), order);
    let other = anna.place(&[(&dish, 1)], "key").await.unwrap_err();
    assert_eq!(other.reason(), "DISH_UNAVAILABLE");
    assert_eq!(anna.place(&[(&new_id(), 1)], "key").await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.told::<OrderPlaced>().await.order.unwrap(), order);
    assert_eq!((world.count("orders").await, world.count("board_numbers").await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_many_times_at_once_is_one_order() {
    let world = World::start().await;
    serve(&world.mesh).await;
    let (anna, dish) = (world.person("anna"), new_id());
    let line = [(dish.as_str(), 1)];
    let placed = join_all((0..12).map(|_| anna.place(&line, "key"))).await;
    let ids: HashSet<String> = placed.into_iter().map(|order| order.unwrap().id).collect();
    assert_eq!((ids.len(), world.count("orders").await, world.count("board_numbers").await), (1, 1, 1));
    // The negative control: without a key each is an order of its own.
    let placed = join_all((0..12).map(|_| anna.place(&line, ""))).await;
    assert!(placed.iter().all(Result::is_ok));
    assert_eq!((world.count("orders").await, world.count("board_numbers").await), (13, 13));
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_and_nothing_is_placed() {
    let world = World::start().await;
    let (anna, gone, few) = (world.person("anna"), new_id(), new_id());
    world.menu.takes_off(&gone, Unavailable::Ingredients, 0);
    world.menu.takes_off(&few, Unavailable::Ingredients, 2);
    for (dish, field) in [(&gone, "items[1].dishId"), (&few, "items[1].quantity")] {
        let refused = anna.place(&[(&new_id(), 1), (dish, 3)], "").await.unwrap_err();
        assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "DISH_UNAVAILABLE"));
        assert_eq!((refused.get("dishId"), refused.fields()[0].field.as_str()), (Some(dish.as_str()), field));
    }
    for (items, field) in [
        (vec![], "items"),
        (vec![("no id", 1)], "items[0].dishId"),
        (vec![(gone.as_str(), 0)], "items[0].quantity"),
        (vec![(gone.as_str(), 60), (gone.as_str(), 60)], "items[1].quantity"),
    ] {
        let refused = anna.place(&items, "").await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, field));
    }
    let many = vec![PlaceOrderItem { dish_id: new_id(), quantity: 1, ..PlaceOrderItem::default() }; 51];
    assert_eq!(anna.ask(many, "").await.unwrap_err().fields()[0].field, "items");
    assert_eq!((world.count("orders").await, world.count("board_numbers").await), (0, 0));
}

/// Two copies of `order` and many guests at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_two_open_orders_have_one_number() {
    let world = World::start().await;
    serve(&world.mesh).await;
    let guests: Vec<Person> = (0..60).map(|_| world.person(&new_id())).collect();
    let dish = new_id();
    let line = [(dish.as_str(), 1)];
    let placed = join_all(guests.iter().map(|guest| guest.place(&line, ""))).await;
    let numbers: HashSet<i32> = placed.iter().map(|order| order.as_ref().unwrap().board_number).collect();
    assert_eq!(numbers.len(), guests.len());
}

/// The negative control: the row is what keeps a number from being given twice.
#[tokio::test]
async fn a_number_that_is_taken_is_not_taken_again() {
    let world = World::start().await;
    let (repo, call) = (world.repo(), world.mesh.host("order").call());
    let row = |number| BoardNumber { id: new_id(), number, ..BoardNumber::default() };
    repo.commit(&call, Commit::new().insert(&row(7))).await.unwrap();
    let refused = repo.commit(&call, Commit::new().insert(&row(7))).await.unwrap_err();
    assert_eq!(
        (refused.reason(), refused.get("entity")),
        ("UNIQUE_VIOLATION", Some("artel.order.v1.BoardNumber"))
    );
    world.sql("DROP INDEX board_numbers_number_key").await;
    repo.commit(&call, Commit::new().insert(&row(7))).await.unwrap();
}

#[tokio::test]
async fn the_last_number_is_found_and_after_it_the_board_is_full() {
    let world = World::start().await;
    // All but one.
    world
        .sql(
            "INSERT INTO board_numbers (workspace_id, id, number, version)
             SELECT '00000000-0000-7000-8000-000000000001', gen_random_uuid(), number, 1
             FROM generate_series(1, 999) number WHERE number <> 500",
        )
        .await;
    let (anna, dish) = (world.person("anna"), new_id());
    let order = anna.place(&[(&dish, 1)], "").await.unwrap();
    assert_eq!(order.board_number, 500);
    let full = anna.place(&[(&dish, 1)], "").await.unwrap_err();
    assert_eq!((full.code(), full.reason()), (Code::ResourceExhausted, "BOARD_FULL"));
    assert!(full.wait().is_some());
    // Who gives up makes room.
    anna.cancel(&order.id).await.unwrap();
    assert_eq!(anna.place(&[(&dish, 1)], "").await.unwrap().board_number, 500);
}

#[tokio::test]
async fn what_nobody_pays_is_cancelled_and_its_number_is_free_but_not_while_it_is_being_paid() {
    let mut world = World::start().await;
    let (anna, dish) = (world.person("anna"), new_id());
    let left = anna.place(&[(&dish, 1)], "").await.unwrap();
    let paying = anna.place(&[(&dish, 1)], "").await.unwrap();
    let young = anna.place(&[(&dish, 1)], "").await.unwrap();
    world.billing().claim(&paying.id, &new_id(), "anna").await.unwrap();
    world
        .sql(&format!(
            "UPDATE orders SET expire_time = now() - interval '1 second' WHERE id IN ('{}', '{}')",
            left.id, paying.id
        ))
        .await;
    // By the job of the service.
    let told: OrderCancelled = world.told().await;
    assert_eq!(told.order_id, left.id);
    let (repo, call) = (world.repo(), world.mesh.host("order").call());
    let ids = [&left.id, &paying.id, &young.id].map(|id| id.to_owned());
    let now: Vec<artel_proto::order::Order> = repo.get_many(&call, ids).await.unwrap();
    let status: Vec<_> = now.iter().map(|order| order.status()).collect();
    assert_eq!(status, [OrderStatus::Cancelled, OrderStatus::Paying, OrderStatus::Placed]);
    assert!(now[0].expire_time.is_none());
    assert_eq!(world.count("board_numbers").await, 2);
}
