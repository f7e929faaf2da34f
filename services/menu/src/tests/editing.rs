use artel_proto::menu::{Allergen, Dish, MenuCategory};
use artel_proto::types::LocalizedText;
use artel_util::new_id;
use tonic::Code;

use super::world::{World, dish, words};

#[tokio::test]
async fn dishes_and_categories_are_put_whole_and_again_without_a_change() {
    let world = World::start().await;
    let category = world.category().await;
    let made = world
        .menu
        .put_dish(Dish { photo_url: "https://example.com/a.jpg".into(), ..dish(&category) })
        .await
        .unwrap();
    assert_eq!((made.version, world.menu.get_dish(&made.id).await.unwrap()), (1, made.clone()));
    assert_eq!(world.menu.put_dish(made.clone()).await.unwrap(), made, "doing it again changes nothing");
    let bare = Dish { photo_url: String::new(), ..made.clone() };
    let changed = world.menu.put_dish(bare).await.unwrap();
    assert_eq!((changed.version, changed.photo_url.as_str()), (2, ""));
    for _ in 0..2 {
        world.menu.delete_dish(&made.id).await;
    }
    let gone = world.menu.get_dish(&made.id).await.unwrap_err();
    assert_eq!((gone.code(), gone.reason()), (Code::NotFound, "DISH_NOT_FOUND"));

    let name = LocalizedText { ru: "Супы".into(), kk: "Сорпалар".into(), en: "Soups".into() };
    let named = MenuCategory { id: category, name: Some(name), ..MenuCategory::default() };
    let named = world.menu.put_category(named).await.unwrap();
    assert_eq!((named.version, world.menu.put_category(named.clone()).await.unwrap()), (2, named.clone()));
    world.menu.put_dish(dish(&named.id)).await.unwrap();
    for (locale, name) in [("", "Супы"), ("ru", "Супы"), ("kk", "Сорпалар"), ("en", "Soups")]
    {
        let menu = world.menu.menu(locale).await;
        assert_eq!((menu[0].name.as_str(), menu[0].dishes[0].name.as_str()), (name, "Борщ"));
    }
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_the_name_of_its_field_and_changes_nothing() {
    let world = World::start().await;
    let category = world.category().await;
    let whole = dish(&category);
    let price = |amount_minor: i64, currency: &str| {
        Some(artel_proto::types::Money { amount_minor, currency: currency.into() })
    };
    let twice = vec![whole.modifiers[0].clone(), whole.modifiers[0].clone()];
    let eggs = vec![Allergen::Eggs.into(), Allergen::Eggs.into()];
    let wrong = [
        ("dish.id", Dish { id: "borscht".into(), ..whole.clone() }),
        ("dish.categoryId", Dish { category_id: new_id(), ..whole.clone() }),
        ("dish.name", Dish { name: None, ..whole.clone() }),
        ("dish.name.ru", Dish { name: words(""), ..whole.clone() }),
        ("dish.price", Dish { price: None, ..whole.clone() }),
        ("dish.price.amountMinor", Dish { price: price(-1, "KZT"), ..whole.clone() }),
        ("dish.price.currency", Dish { price: price(1, "tenge"), ..whole.clone() }),
        ("dish.modifiers[1].id", Dish { modifiers: twice, ..whole.clone() }),
        ("dish.allergens[1]", Dish { allergens: eggs, ..whole.clone() }),
        ("dish.dayParts[0]", Dish { day_parts: vec![0], ..whole.clone() }),
    ];
    for (field, dish) in wrong {
        let refused = world.menu.put_dish(dish).await.unwrap_err();
        assert_eq!(refused.fields()[0].field, field, "{refused}");
    }
    assert_eq!(world.menu.get_dish(&whole.id).await.unwrap_err().reason(), "DISH_NOT_FOUND");
    let nowhere = world.menu.put_dish(Dish { category_id: new_id(), ..whole }).await.unwrap_err();
    assert_eq!((nowhere.code(), nowhere.reason()), (Code::NotFound, "CATEGORY_NOT_FOUND"));
}
