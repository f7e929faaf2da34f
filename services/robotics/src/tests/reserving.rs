use artel_proto::robotics::{Ingredient, ReservationStatus};
use artel_repo::Commit;
use artel_util::new_id;
use futures::future::join_all;
use tonic::Code;

use super::world::{World, more_of, of};

const AT_ONCE: usize = 64;

#[tokio::test]
async fn all_of_an_order_is_set_aside_once_or_nothing_of_it() {
    let world = World::start().await;
    let (flour, cheese) = (world.ingredient(100).await, world.ingredient(10).await);
    let (bread, pizza) = (world.dish(&[(&flour, 10)]).await, world.dish(&[(&flour, 20), (&cheese, 5)]).await);
    let (payment, order) = (new_id(), new_id());
    let dishes = [of(&bread, 2), more_of(&pizza, 1)];
    let reserved = world.reserve(&payment, &order, &dishes).await.unwrap();
    let mut took: Vec<_> =
        reserved.ingredients.iter().map(|one| (one.ingredient_id.clone(), one.amount)).collect();
    let mut expected = vec![(flour.clone(), 41), (cheese.clone(), 5)];
    took.sort();
    expected.sort();
    assert_eq!((reserved.status(), took), (ReservationStatus::Held, expected));
    assert_eq!(world.reserve(&payment, &order, &dishes).await.unwrap(), reserved);
    assert_eq!((world.stock(&flour).await, world.stock(&cheese).await), (59, 5));

    // Flour would do; it is cheese that the second dish lacks.
    let refused = world.reserve(&new_id(), &order, &[of(&bread, 1), of(&pizza, 2)]).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "INGREDIENTS_SHORT"));
    assert_eq!(
        (refused.get("dishId"), refused.get("ingredientId"), refused.get("left")),
        (Some(pizza.as_str()), Some(cheese.as_str()), Some("5"))
    );
    assert_eq!(refused.fields()[0].field, "dishes[1]");
    let unknown = world.reserve(&new_id(), &order, &[of(&bread, 1), of(&new_id(), 1)]).await.unwrap_err();
    assert_eq!((unknown.reason(), unknown.fields()[0].field.as_str()), ("INGREDIENTS_SHORT", "dishes[1]"));
    assert_eq!((world.stock(&flour).await, world.stock(&cheese).await), (59, 5));
    let other = world.reserve(&payment, &new_id(), &dishes).await.unwrap_err();
    assert_eq!(other.reason(), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn a_repeated_reservation_of_the_last_portion_is_answered_as_the_first_time() {
    let world = World::start().await;
    let flour = world.ingredient(10).await;
    let bread = world.dish(&[(&flour, 10)]).await;
    let (payment, order) = (new_id(), new_id());
    let first = world.reserve(&payment, &order, &[of(&bread, 1)]).await.unwrap();
    // Also where the recipe has changed since: what is set aside is set aside.
    world.put_recipe(super::world::recipe(&bread, &[(&flour, 7)])).await.unwrap();
    assert_eq!(world.reserve(&payment, &order, &[of(&bread, 1)]).await.unwrap(), first);
    assert_eq!(world.stock(&flour).await, 0);
}

#[tokio::test]
async fn what_is_given_back_comes_back_once_and_stays_given_back() {
    let world = World::start().await;
    let flour = world.ingredient(10).await;
    let bread = world.dish(&[(&flour, 4)]).await;
    let (payment, order) = (new_id(), new_id());
    world.reserve(&payment, &order, &[of(&bread, 2)]).await.unwrap();
    assert_eq!(world.stock(&flour).await, 2);
    for _ in 0..3 {
        world.release(&payment, &order).await.unwrap();
    }
    assert_eq!(world.stock(&flour).await, 10);
    let again = world.reserve(&payment, &order, &[of(&bread, 2)]).await.unwrap_err();
    assert_eq!((again.code(), again.reason()), (Code::FailedPrecondition, "RESERVATION_RELEASED"));

    // One that was never made cannot be made any more.
    let late = new_id();
    for _ in 0..2 {
        world.release(&late, &order).await.unwrap();
    }
    let refused = world.reserve(&late, &order, &[of(&bread, 1)]).await.unwrap_err();
    assert_eq!(refused.reason(), "RESERVATION_RELEASED");
    assert_eq!(world.stock(&flour).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_orders_at_once_exactly_those_are_reserved_that_there_are_portions_for() {
    let world = World::start().await;
    let (flour, cheese) = (world.ingredient(10_000).await, world.ingredient(25 * 3 + 2).await);
    // They name the two ingredients in different orders.
    let (one, other) =
        (world.dish(&[(&flour, 1), (&cheese, 3)]).await, world.dish(&[(&cheese, 3), (&flour, 1)]).await);
    let payments: Vec<String> = (0..AT_ONCE).map(|_| new_id()).collect();
    let dishes = |index: usize| [of(if index.is_multiple_of(2) { &one } else { &other }, 1)];
    let answers = join_all(payments.iter().enumerate().map(async |(index, payment)| {
        // Each twice at once, as when an answer is late.
        let dishes = dishes(index);
        let twice =
            tokio::join!(world.reserve(payment, payment, &dishes), world.reserve(payment, payment, &dishes));
        twice.0.is_ok() || twice.1.is_ok()
    }))
    .await;
    let reserved: Vec<&String> =
        payments.iter().zip(answers).filter(|(_, reserved)| *reserved).map(|(id, _)| id).collect();
    assert_eq!(reserved.len(), 25);
    assert_eq!((world.stock(&cheese).await, world.stock(&flour).await), (2, 10_000 - 25));
    // All are given back at once, each twice at once.
    let back = join_all(reserved.iter().chain(&reserved).map(|id| world.release(id, id))).await;
    assert!(back.iter().all(Result::is_ok), "{back:?}");
    assert_eq!((world.stock(&cheese).await, world.stock(&flour).await), (77, 10_000));
}

/// The negative control of the test above: who reads what there is and writes what is left promises it many times.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_floor_stock_is_promised_many_times() {
    let world = World::start().await;
    let cheese = world.ingredient(25 * 3).await;
    let (repo, call) = (&world.repo, world.call());
    let read = join_all((0..AT_ONCE).map(|_| repo.get::<Ingredient>(&call, &cheese))).await;
    let promised = join_all(read.into_iter().map(async |ingredient| {
        let mut ingredient = ingredient.unwrap().unwrap();
        ingredient.stock -= 3;
        ingredient.stock >= 0
            && repo.commit(&call, Commit::new().update(&ingredient, &["stock"])).await.is_ok()
    }))
    .await;
    let promised = promised.into_iter().filter(|promised| *promised).count();
    assert!(promised > 25 && world.stock(&cheese).await > 0, "{promised}");
}

#[tokio::test(flavor = "multi_thread")]
async fn made_and_given_back_at_once_it_ends_as_given_back() {
    let world = World::start().await;
    let flour = world.ingredient(100).await;
    let bread = world.dish(&[(&flour, 1)]).await;
    join_all((0..16).map(async |_| {
        let (payment, order) = (new_id(), new_id());
        let dishes = [of(&bread, 1)];
        let (made, released) =
            tokio::join!(world.reserve(&payment, &order, &dishes), world.release(&payment, &order));
        released.unwrap();
        assert!(made.is_ok() || made.is_err_and(|error| error.reason() == "RESERVATION_RELEASED"));
    }))
    .await;
    assert_eq!(world.stock(&flour).await, 100);
}
