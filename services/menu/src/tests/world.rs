use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use artel_cache::Redis;
use artel_client::{Call, Channel, User};
use artel_handle::testing::{Direct, LocalMesh, direct};
use artel_handle::{Host, Live, Service};
use artel_persist::testing::TestDatabase;
use artel_proto::menu::menu_service_client::MenuServiceClient;
use artel_proto::menu::{
    CheckAvailabilityRequest, DeleteDishRequest, Dish, DishLine, DishOffer, GetDishRequest,
    ListMenuCategoriesRequest, MenuCategory, MenuItem, MenuSection, Modifier, PutDishRequest,
    PutMenuCategoryRequest, Unavailable,
};
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::{
    CookingOrder, DishPortions, Ingredient, ModifierPortion, Portion, PutIngredientRequest, PutRecipeRequest,
    Recipe, RecipeStep, ReserveIngredientsRequest,
};
use artel_proto::types::{LocalizedText, Money};
use artel_util::{Error, new_id};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::kitchen::{Kitchen, Robotics};
use crate::over;
use crate::settings::tests::settings;

/// Two copies of `menu` over persist, the kitchen and Redis, and a workspace.
pub struct World {
    pub menu: Copy,
    pub other: Copy,
    /// A third one, which finds no Redis.
    pub alone: Copy,
    robotics: RoboticsServiceClient<Channel>,
    call: Call,
    _mesh: LocalMesh,
    _database: TestDatabase,
}

/// A copy of the service.
pub struct Copy {
    client: MenuServiceClient<Direct>,
    kitchen: Arc<Door>,
}

/// The way to the kitchen, which can be shut, or long.
struct Door {
    kitchen: Robotics,
    is_shut: AtomicBool,
    takes_ms: AtomicU64,
}

#[async_trait]
impl Kitchen for Door {
    async fn portions(&self, call: &Call, dishes: Vec<CookingOrder>) -> Result<Vec<DishPortions>, Error> {
        if self.is_shut.load(Ordering::SeqCst) {
            return Err(Error::unavailable("UNAVAILABLE", "the kitchen is shut"));
        }
        tokio::time::sleep(Duration::from_millis(self.takes_ms.load(Ordering::SeqCst))).await;
        self.kitchen.portions(call, dishes).await
    }
}

/// Noon by the restaurant's clock.
fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_434_800, 0).unwrap()
}

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With these settings of the menu.
    pub async fn with(text: &str) -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start("").await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        mesh.serve(artel_robotics::service(mesh.host("robotics")).await.unwrap()).await.unwrap();
        let host = mesh.host("menu");
        let user = User {
            id: new_id(),
            roles: vec!["menu_editor".to_owned(), "kitchen_manager".to_owned()],
            locale: String::new(),
        };
        let call = Call { user: Some(user), ..Call::by_service("menu", &new_id()) };
        let redis = std::env::var("ARTEL_TEST_REDIS").unwrap();
        Self {
            menu: Copy::start(&host, text, &call, &redis),
            other: Copy::start(&host, text, &call, &redis),
            alone: Copy::start(&host, text, &call, "redis://127.0.0.1:1"),
            robotics: RoboticsServiceClient::new(host.channel("robotics")),
            call,
            _mesh: mesh,
            _database: database,
        }
    }

    /// A new category.
    pub async fn category(&self) -> String {
        let category = MenuCategory { id: new_id(), name: words("Супы"), ..MenuCategory::default() };
        self.menu.put_category(category).await.unwrap().id
    }

    /// An ingredient of which there is so much.
    pub async fn ingredient(&self, stock: i64) -> String {
        let (id, name, unit) = (new_id(), "Beet".to_owned(), "g".to_owned());
        let ingredient = Some(Ingredient { id: id.clone(), name, unit, stock, ..Ingredient::default() });
        let request = self.call.request(PutIngredientRequest { ingredient });
        self.robotics.clone().put_ingredient(request).await.unwrap();
        id
    }

    /// A new dish that takes one of the ingredient, and with the modifier `more` another.
    pub async fn dish(&self, category: &str, ingredient: &str) -> Dish {
        let dish = self.menu.put_dish(dish(category)).await.unwrap();
        let modifier = ModifierPortion {
            modifier_id: "more".to_owned(),
            ingredient_id: ingredient.to_owned(),
            amount: 1,
        };
        let recipe = Recipe {
            id: dish.id.clone(),
            ingredients: vec![Portion { ingredient_id: ingredient.to_owned(), amount: 1 }],
            modifiers: vec![modifier],
            steps: vec![RecipeStep { action: "boil".to_owned(), seconds: 60 }],
            ..Recipe::default()
        };
        let request = self.call.request(PutRecipeRequest { recipe: Some(recipe) });
        self.robotics.clone().put_recipe(request).await.unwrap();
        dish
    }

    /// Somebody's payment takes so many of a dish.
    pub async fn reserve(&self, dish: &Dish, quantity: i32) {
        let order = CookingOrder { dish_id: dish.id.clone(), quantity, ..CookingOrder::default() };
        let asked = ReserveIngredientsRequest { id: new_id(), order_id: new_id(), dishes: vec![order] };
        self.robotics.clone().reserve_ingredients(self.call.request(asked)).await.unwrap();
    }
}

impl Copy {
    fn start(host: &Host, text: &str, call: &Call, redis: &str) -> Self {
        let (kitchen, is_shut) = (Robotics::new(host.channel("robotics")), AtomicBool::new(false));
        let kitchen = Arc::new(Door { kitchen, is_shut, takes_ms: AtomicU64::new(0) });
        let service: Service = over(
            host.repo(),
            kitchen.clone(),
            Redis::open(redis).unwrap(),
            Live::fixed(settings(text)),
            Arc::new(noon),
        );
        Self { client: MenuServiceClient::new(direct(&service, call.clone())), kitchen }
    }

    /// From now on nobody says what there is.
    pub fn shut_the_kitchen(&self) {
        self.kitchen.is_shut.store(true, Ordering::SeqCst);
    }

    /// From now on the kitchen takes so long to answer.
    pub fn slow_the_kitchen(&self, takes_ms: u64) {
        self.kitchen.takes_ms.store(takes_ms, Ordering::SeqCst);
    }

    pub async fn menu(&self, locale: &str) -> Vec<MenuSection> {
        let asked = ListMenuCategoriesRequest { locale: locale.to_owned() };
        self.client.clone().list_menu_categories(asked).await.unwrap().into_inner().categories
    }

    /// A dish as it stands in the menu.
    pub async fn item(&self, id: &str) -> Option<MenuItem> {
        self.menu("en").await.into_iter().flat_map(|section| section.dishes).find(|dish| dish.id == id)
    }

    /// Why it cannot be ordered, as the menu says.
    pub async fn why(&self, id: &str) -> Unavailable {
        let item = self.item(id).await.unwrap();
        assert_eq!(item.available, item.unavailable() == Unavailable::Unspecified);
        item.unavailable()
    }

    pub async fn check(&self, lines: &[DishLine]) -> Result<Vec<DishOffer>, Error> {
        let asked = CheckAvailabilityRequest { lines: lines.to_vec(), locale: "en".to_owned() };
        Ok(self.client.clone().check_availability(asked).await?.into_inner().offers)
    }

    pub async fn put_category(&self, category: MenuCategory) -> Result<MenuCategory, Error> {
        let asked = PutMenuCategoryRequest { category: Some(category) };
        Ok(self.client.clone().put_menu_category(asked).await?.into_inner().category.unwrap())
    }

    pub async fn put_dish(&self, dish: Dish) -> Result<Dish, Error> {
        let asked = PutDishRequest { dish: Some(dish) };
        Ok(self.client.clone().put_dish(asked).await?.into_inner().dish.unwrap())
    }

    pub async fn get_dish(&self, id: &str) -> Result<Dish, Error> {
        let asked = GetDishRequest { id: id.to_owned() };
        Ok(self.client.clone().get_dish(asked).await?.into_inner().dish.unwrap())
    }

    pub async fn delete_dish(&self, id: &str) {
        self.client.clone().delete_dish(DeleteDishRequest { id: id.to_owned() }).await.unwrap();
    }
}

pub fn words(ru: &str) -> Option<LocalizedText> {
    Some(LocalizedText { ru: ru.to_owned(), ..LocalizedText::default() })
}

/// A dish as an editor puts it.
pub fn dish(category: &str) -> Dish {
    Dish {
        id: new_id(),
        category_id: category.to_owned(),
        name: words("Борщ"),
        price: Some(Money { amount_minor: 150_000, currency: "KZT".to_owned() }),
        modifiers: vec![Modifier { id: "more".to_owned(), name: words("Больше"), price_minor: 20_000 }],
        ..Dish::default()
    }
}

/// So many of a dish, as it is.
pub fn line(dish: &Dish, quantity: i32) -> DishLine {
    DishLine { dish_id: dish.id.clone(), quantity, modifier_ids: Vec::new() }
}
