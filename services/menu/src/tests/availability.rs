use artel_proto::menu::{DayPart, Dish, DishLine, Unavailable};
use artel_util::new_id;

use super::world::{World, dish, line};

#[tokio::test]
async fn lines_cost_what_the_menu_says_and_must_be_possible_together() {
    let world = World::start().await;
    let (category, beet) = (world.category().await, world.ingredient(5).await);
    let (borscht, salad) = (world.dish(&category, &beet).await, world.dish(&category, &beet).await);
    let more = DishLine { modifier_ids: vec!["more".to_owned()], ..line(&borscht, 1) };
    let offers = world.menu.check(&[more.clone(), line(&salad, 3)]).await.unwrap();
    assert!(offers.iter().all(|offer| offer.unavailable() == Unavailable::Unspecified), "{offers:?}");
    assert_eq!(offers[0].price.as_ref().unwrap().amount_minor, 170_000);
    assert_eq!(
        (offers[0].name.as_str(), offers[0].modifiers.as_slice()),
        ("Борщ", ["Больше".to_owned()].as_slice())
    );
    assert_eq!((offers[0].portions, offers[1].portions), (2, 5));

    // Each alone would do, and not both.
    let offers = world.menu.check(&[more, line(&salad, 4)]).await.unwrap();
    let why: Vec<_> = offers.iter().map(|offer| offer.unavailable()).collect();
    assert_eq!(why, [Unavailable::Unspecified, Unavailable::Ingredients]);
    // What has just run out is known here at once, whatever menu is kept.
    world.reserve(&salad, 5).await;
    let offers = world.menu.check(&[line(&borscht, 1)]).await.unwrap();
    assert_eq!((offers[0].unavailable(), offers[0].portions), (Unavailable::Ingredients, 0));
}

#[tokio::test]
async fn every_line_is_answered_with_its_reason() {
    let world = World::start().await;
    let (category, beet) = (world.category().await, world.ingredient(5).await);
    let borscht = world.dish(&category, &beet).await;
    let night = Dish { day_parts: vec![DayPart::Night.into()], ..dish(&category) };
    let lunch = Dish { day_parts: vec![DayPart::Night.into(), DayPart::Lunch.into()], ..borscht.clone() };
    let hidden = Dish { hidden: true, ..dish(&category) };
    for dish in [&night, &lunch, &hidden] {
        world.menu.put_dish(dish.clone()).await.unwrap();
    }
    let raw = world.menu.put_dish(dish(&category)).await.unwrap();
    let unknown = DishLine { dish_id: new_id(), ..line(&borscht, 1) };
    let odd = DishLine { modifier_ids: vec!["gold".to_owned()], ..line(&borscht, 1) };
    let upper = DishLine { dish_id: borscht.id.to_uppercase(), ..line(&borscht, 1) };
    let lines = [line(&night, 1), upper, line(&hidden, 1), line(&raw, 1), unknown, odd];
    let offers = world.menu.check(&lines).await.unwrap();
    let why: Vec<_> = offers.iter().map(|offer| offer.unavailable()).collect();
    assert_eq!(
        why,
        [
            Unavailable::DayPart,
            Unavailable::Unspecified,
            Unavailable::Hidden,
            Unavailable::Ingredients,
            Unavailable::Unknown,
            Unavailable::Modifier,
        ]
    );
    assert_eq!(world.menu.why(&night.id).await, Unavailable::DayPart);
    assert_eq!(world.menu.item(&hidden.id).await, None);
    let wrong = world.menu.check(&[line(&borscht, 0)]).await.unwrap_err();
    assert_eq!(wrong.fields()[0].field, "lines[0].quantity");
}
