use artel_proto::robotics::DishPortions;
use artel_util::new_id;
use tonic::Code;

use super::world::{World, more_of, of, recipe};

fn portions(dish_id: &str, portions: i32, enough: bool) -> DishPortions {
    DishPortions { dish_id: dish_id.to_owned(), portions, enough }
}

#[tokio::test]
async fn portions_are_counted_for_each_dish_alone_and_for_all_together() {
    let world = World::start().await;
    let (flour, cheese) = (world.ingredient(100).await, world.ingredient(9).await);
    let (bread, pizza) = (world.dish(&[(&flour, 10)]).await, world.dish(&[(&flour, 20), (&cheese, 3)]).await);
    let unknown = new_id();
    assert_eq!(
        world.portions(&[of(&pizza, 3), more_of(&bread, 4), of(&bread, 4), of(&unknown, 1)]).await,
        [
            portions(&pizza, 3, true),
            portions(&bread, 9, false),
            portions(&bread, 10, true),
            portions(&unknown, 0, false)
        ]
    );
    let mut all = world.portions(&[]).await;
    all.sort_by_key(|dish| dish.portions);
    assert_eq!(all.iter().map(|dish| dish.portions).collect::<Vec<_>>(), [3, 10]);
    world.reserve(&new_id(), &new_id(), &[of(&pizza, 3)]).await.unwrap();
    assert_eq!(world.portions(&[of(&pizza, 1)]).await, [portions(&pizza, 0, false)]);
}

#[tokio::test]
async fn an_ingredient_is_made_renamed_and_filled_up() {
    let world = World::start().await;
    let id = new_id();
    let made = world.put(&id, "Flour", 50).await.unwrap();
    assert_eq!((made.stock, made.name.as_str()), (50, "Flour"));
    assert_eq!(world.put(&id, "Flour", 70).await.unwrap(), made, "doing it again changes nothing");
    let renamed = world.put(&id, "Rye flour", 70).await.unwrap();
    assert_eq!((renamed.stock, renamed.name.as_str()), (50, "Rye flour"));

    let key = new_id();
    for _ in 0..2 {
        assert_eq!(world.restock(&id, 25, &key).await.unwrap().stock, 75);
    }
    assert_eq!(world.restock(&id, 26, &key).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    let too_few = world.restock(&id, -76, &new_id()).await.unwrap_err();
    assert_eq!((too_few.reason(), too_few.get("left")), ("INGREDIENTS_SHORT", Some("75")));
    assert_eq!(world.restock(&id, -75, &new_id()).await.unwrap().stock, 0);
    let nothing = world.restock(&new_id(), 1, &new_id()).await.unwrap_err();
    assert_eq!((nothing.code(), nothing.reason()), (Code::NotFound, "INGREDIENT_NOT_FOUND"));

    let (first, token) = world.ingredients(1, "").await;
    world.put("no uuid", "Flour", 1).await.unwrap_err();
    assert_eq!((first.len(), token.as_str()), (1, ""));
    let wrong = world.put("no uuid", "Flour", 1).await.unwrap_err();
    assert_eq!((wrong.code(), wrong.fields()[0].field.as_str()), (Code::InvalidArgument, "ingredient.id"));
    let wrong = world.put(&id, "", 1).await.unwrap_err();
    assert_eq!(wrong.fields()[0].field, "ingredient.name");
}

#[tokio::test]
async fn a_recipe_names_ingredients_that_there_are_each_once() {
    let world = World::start().await;
    let (flour, nothing) = (world.ingredient(100).await, new_id());
    let dish = new_id();
    let refused = world.put_recipe(recipe(&dish, &[(&flour, 1), (&nothing, 1)])).await.unwrap_err();
    assert_eq!(
        (refused.reason(), refused.fields()[0].field.as_str()),
        ("INGREDIENT_NOT_FOUND", "recipe.ingredients[1].ingredientId")
    );
    let refused =
        world.put_recipe(recipe(&dish, &[(&flour, 1), (&flour.to_uppercase(), 1)])).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "recipe.ingredients[1].ingredientId");
    let refused = world.put_recipe(recipe(&dish, &[(&flour, 0)])).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "recipe.ingredients[0].amount");
    let refused = world.put_recipe(recipe(&dish, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(world.portions(&[of(&dish, 1)]).await, [portions(&dish, 0, false)]);

    let made = world.put_recipe(recipe(&dish, &[(&flour, 10)])).await.unwrap();
    assert_eq!((made.version, made.ingredients[0].amount), (1, 10));
    let again = world.put_recipe(recipe(&dish, &[(&flour, 10)])).await.unwrap();
    assert_eq!(again, made, "doing it again changes nothing");
    let changed = world.put_recipe(recipe(&dish, &[(&flour, 20)])).await.unwrap();
    assert_eq!((changed.version, world.portions(&[of(&dish, 1)]).await), (2, vec![portions(&dish, 5, true)]));
}
