use std::time::Duration;

use artel_proto::menu::{Dish, Unavailable};
use tokio::time::{Instant, sleep_until};

use super::world::{World, dish, words};

/// No menu is older.
const FRESH: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_second_after_the_last_portion_went_no_copy_shows_the_dish_as_available() {
    let world = World::start().await;
    let (category, beet) = (world.category().await, world.ingredient(3).await);
    let borscht = world.dish(&category, &beet).await;
    // Whatever was kept from before the dish had its recipe.
    let begun = Instant::now();
    while world.menu.why(&borscht.id).await != Unavailable::Unspecified {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(world.other.why(&borscht.id).await, Unavailable::Unspecified);
    world.reserve(&borscht, 3).await;
    sleep_until(Instant::now() + FRESH).await;
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Ingredients);
    assert_eq!(world.other.why(&borscht.id).await, Unavailable::Ingredients);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_editor_changed_at_one_copy_the_other_shows_at_once() {
    let world = World::start().await;
    let (category, beet) = (world.category().await, world.ingredient(3).await);
    let borscht = world.dish(&category, &beet).await;
    for price in 1..10 {
        // The other copy has just kept the menu, and the one before it was asked for in three languages.
        for locale in ["ru", "kk", "en"] {
            assert_eq!(world.other.menu(locale).await.len(), 1);
        }
        let mut changed = borscht.clone();
        changed.price.as_mut().unwrap().amount_minor = price;
        world.menu.put_dish(changed).await.unwrap();
        assert_eq!(world.other.item(&borscht.id).await.unwrap().price.unwrap().amount_minor, price);
    }
    let renamed =
        artel_proto::menu::MenuCategory {
            id: category.clone(), name: words("Первое"), ..Default::default()
        };
    world.menu.put_category(renamed).await.unwrap();
    assert_eq!(world.other.menu("en").await[0].name, "Первое");
    world.menu.put_dish(Dish { hidden: true, ..borscht.clone() }).await.unwrap();
    assert!(world.other.menu("en").await.is_empty());
    world.menu.put_dish(borscht.clone()).await.unwrap();
    assert!(world.other.item(&borscht.id).await.is_some());
    world.menu.delete_dish(&borscht.id).await;
    assert!(world.other.item(&borscht.id).await.is_none());
}

/// The negative control of the test above: what changes past the service is not seen at once, for the menu is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_menu_that_nobody_was_told_to_forget_is_shown_until_its_time_is_over() {
    let world = World::with("[menu]\nkept_ms = 500").await;
    let (category, beet) = (world.category().await, world.ingredient(1).await);
    let borscht = world.dish(&category, &beet).await;
    let begun = Instant::now();
    while world.menu.why(&borscht.id).await != Unavailable::Unspecified {
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
    // Stock that goes is told to nobody: somewhere in a few rounds the kept menu is seen, unless none is kept.
    let mut was_kept = false;
    for _ in 0..20 {
        let soup = world.dish(&category, &world.ingredient(1).await).await;
        world.menu.put_dish(dish(&category)).await.unwrap();
        assert_eq!(world.menu.why(&soup.id).await, Unavailable::Unspecified);
        world.reserve(&soup, 1).await;
        was_kept |= world.other.why(&soup.id).await == Unavailable::Unspecified;
        if was_kept {
            break;
        }
    }
    assert!(was_kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_kitchen_is_away_dishes_are_shown_as_last_known_and_not_for_ever() {
    let world = World::with("[menu]\nkept_ms = 1\nstock_known_seconds = 2").await;
    let (category, beet) = (world.category().await, world.ingredient(3).await);
    let borscht = world.dish(&category, &beet).await;
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Unspecified);
    world.menu.shut_the_kitchen();
    world.other.shut_the_kitchen();
    // What was kept of the other copies' time goes with an editor's change.
    world.menu.put_dish(dish(&category)).await.unwrap();
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Unspecified);
    let begun = Instant::now();
    while world.menu.why(&borscht.id).await != Unavailable::Ingredients {
        assert!(begun.elapsed() < Duration::from_secs(20), "shown for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Nobody can say what there is: no order is taken on a guess.
    let refused = world.menu.check(&[super::world::line(&borscht, 1)]).await.unwrap_err();
    assert_eq!(refused.reason(), "KITCHEN_UNAVAILABLE");
    assert!(refused.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_menu_is_made_each_time() {
    let world = World::start().await;
    let (category, beet) = (world.category().await, world.ingredient(1).await);
    let borscht = world.dish(&category, &beet).await;
    assert_eq!(world.alone.why(&borscht.id).await, Unavailable::Unspecified);
    world.reserve(&borscht, 1).await;
    assert_eq!(world.alone.why(&borscht.id).await, Unavailable::Ingredients);
    world.alone.put_dish(Dish { hidden: true, ..borscht.clone() }).await.unwrap();
    assert!(world.alone.item(&borscht.id).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kitchen_that_is_slow_is_waited_for_only_where_nothing_is_known() {
    let world = World::with("[menu]\nkept_ms = 1").await;
    let (category, beet) = (world.category().await, world.ingredient(1).await);
    let borscht = world.dish(&category, &beet).await;
    world.menu.slow_the_kitchen(1_000);
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Unspecified);
    // From then on it has half a second, or the menu would be old before it is shown.
    world.menu.slow_the_kitchen(60_000);
    world.reserve(&borscht, 1).await;
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Unspecified, "as it was last known");
    world.menu.slow_the_kitchen(0);
    assert_eq!(world.menu.why(&borscht.id).await, Unavailable::Ingredients);
}
