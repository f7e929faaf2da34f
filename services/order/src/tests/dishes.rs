//! Orders of what `menu` really offers, of ingredients that the kitchen really has.

use artel_client::{Call, User};
use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_proto::menu::menu_service_client::MenuServiceClient;
use artel_proto::menu::{Dish, MenuCategory, Modifier, PutDishRequest, PutMenuCategoryRequest};
use artel_proto::order::dining_service_client::DiningServiceClient;
use artel_proto::order::{Order, PlaceOrderItem, PlaceOrderRequest};
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::{
    Ingredient, Portion, PutIngredientRequest, PutRecipeRequest, Recipe, RecipeStep,
};
use artel_proto::types::{LocalizedText, Money};
use artel_util::{Error, new_id};

use super::world::*;

fn words(text: &str) -> Option<LocalizedText> {
    let text = text.to_owned();
    Some(LocalizedText { ru: text.clone(), kk: text.clone(), en: text })
}

/// The services in question, and somebody who may do everything in them.
struct Restaurant {
    mesh: LocalMesh,
    call: Call,
    _database: TestDatabase,
}

impl Restaurant {
    async fn open() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let redis = std::env::var("ARTEL_TEST_REDIS").unwrap();
        let mesh = LocalMesh::start(&format!("redis = '{redis}'")).await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        mesh.serve(artel_robotics::service(mesh.host("robotics")).await.unwrap()).await.unwrap();
        mesh.serve(artel_menu::service(mesh.host("menu")).await.unwrap()).await.unwrap();
        serve(&mesh).await;
        let roles = vec!["menu_editor".to_owned(), "kitchen_manager".to_owned()];
        let user = User { id: "anna".to_owned(), roles, locale: "ru".to_owned() };
        let call = Call { user: Some(user), ..mesh.host("test").call() };
        Self { mesh, call, _database: database }
    }

    /// A dish with a modifier, of which so many can be cooked.
    async fn dish(&self, portions: i64) -> String {
        let host = self.mesh.host("test");
        let mut menu = MenuServiceClient::new(host.channel("menu"));
        let mut robotics = RoboticsServiceClient::new(host.channel("robotics"));
        let category = MenuCategory { id: new_id(), name: words("Супы"), ..MenuCategory::default() };
        let category_id = category.id.clone();
        let asked = PutMenuCategoryRequest { category: Some(category) };
        menu.put_menu_category(self.call.request(asked)).await.unwrap();
        let hot = Modifier { id: "hot".to_owned(), name: words("Острее"), price_minor: 5_000 };
        let dish = Dish {
            id: new_id(),
            category_id,
            name: words("Лагман"),
            price: Some(Money { amount_minor: PRICE, currency: "KZT".to_owned() }),
            modifiers: vec![hot],
            ..Dish::default()
        };
        let id = dish.id.clone();
        menu.put_dish(self.call.request(PutDishRequest { dish: Some(dish) })).await.unwrap();
        let noodles = Ingredient {
            id: new_id(),
            name: "Noodles".to_owned(),
            unit: "g".to_owned(),
            stock: 200 * portions,
            ..Ingredient::default()
        };
        let portion = Portion { ingredient_id: noodles.id.clone(), amount: 200 };
        let asked = PutIngredientRequest { ingredient: Some(noodles) };
        robotics.put_ingredient(self.call.request(asked)).await.unwrap();
        let recipe = Recipe {
            id: id.clone(),
            ingredients: vec![portion],
            steps: vec![RecipeStep { action: "boil".to_owned(), seconds: 60 }],
            ..Recipe::default()
        };
        let asked = PutRecipeRequest { recipe: Some(recipe) };
        robotics.put_recipe(self.call.request(asked)).await.unwrap();
        id
    }

    async fn order(&self, dish_id: &str, quantity: i32, modifiers: &[&str]) -> Result<Order, Error> {
        let item = PlaceOrderItem {
            dish_id: dish_id.to_owned(),
            quantity,
            modifier_ids: modifiers.iter().map(|id| (*id).to_owned()).collect(),
        };
        let asked = PlaceOrderRequest { items: vec![item], ..PlaceOrderRequest::default() };
        let mut dining = DiningServiceClient::new(self.mesh.host("test").channel("order"));
        Ok(read(dining.place_order(self.call.request(asked)).await)?.order.unwrap())
    }
}

#[tokio::test]
async fn an_order_costs_what_the_menu_says_and_what_has_run_out_is_refused() {
    let restaurant = Restaurant::open().await;
    let dish = restaurant.dish(3).await;
    let order = restaurant.order(&dish, 3, &["hot"]).await.unwrap();
    assert_eq!(order.total.unwrap().amount_minor, 3 * (PRICE + 5_000));
    assert_eq!(
        (order.items[0].name.as_str(), order.items[0].modifiers.as_slice()),
        ("Лагман", ["Острее".to_owned()].as_slice())
    );
    for (dish, quantity, modifiers, why, field) in [
        (dish.as_str(), 4, [].as_slice(), "INGREDIENTS", "items[0].quantity"),
        (dish.as_str(), 1, ["cold"].as_slice(), "MODIFIER", "items[0].modifierIds"),
        (new_id().as_str(), 1, [].as_slice(), "UNKNOWN", "items[0].dishId"),
        (restaurant.dish(0).await.as_str(), 1, [].as_slice(), "INGREDIENTS", "items[0].dishId"),
    ] {
        let refused = restaurant.order(dish, quantity, modifiers).await.unwrap_err();
        assert_eq!((refused.reason(), refused.get("why")), ("DISH_UNAVAILABLE", Some(why)), "{refused}");
        assert_eq!(refused.fields()[0].field, field);
    }
}
