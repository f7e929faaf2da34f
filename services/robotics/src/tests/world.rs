use artel_client::{Call, CallKey, Channel, Channels, User};
use artel_config::Config;
use artel_handle::{CancellationToken, Host, Service, testing};
use artel_persist::testing::TestDatabase;
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::robotics_service_server::RoboticsServiceServer;
use artel_proto::robotics::{
    CookingOrder, CookingStatus, DishPortions, GetPortionsRequest, Ingredient, ListCookingJobsRequest,
    ListIngredientsRequest, ModifierPortion, Portion, PutIngredientRequest, PutRecipeRequest, Recipe,
    RecipeStep, ReleaseIngredientsRequest, Reservation, ReserveIngredientsRequest, RestockIngredientRequest,
};
use artel_queue::Event;
use artel_repo::Repo;
use artel_util::{Error, new_id};
use tokio::sync::mpsc;

use crate::api::Robotics;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `robotics` over persist, and a workspace.
pub struct World {
    client: RoboticsServiceClient<Channel>,
    pub repo: Repo,
    /// What persist announced.
    pub announced: mpsc::UnboundedReceiver<Event>,
    workspace: String,
    _database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await.unwrap();
        let config = Config::parse(&format!("[mesh]\nmesh_key = \"{KEY}\"")).unwrap();
        let host = Host::new(config, CancellationToken::new()).unwrap();
        let (persist, announced) = database.telling().await.unwrap();
        let persist = testing::listen(persist, &host).await.unwrap();
        let key = CallKey::new(KEY).unwrap();
        let repo = Repo::new(Channels::fixed("robotics", key.clone(), [("persist", persist)]).to("persist"));
        let robotics = Service::new("robotics").grpc(RoboticsServiceServer::new(Robotics::new(repo.clone())));
        let robotics = testing::listen(robotics, &host).await.unwrap();
        let channels = Channels::fixed("billing", key, [("robotics", robotics)]);
        let client = RoboticsServiceClient::new(channels.to("robotics"));
        Self { client, repo, announced, workspace: new_id(), _database: database }
    }

    /// The service's own call.
    pub fn call(&self) -> Call {
        Call::by_service("robotics", &self.workspace)
    }

    fn billing(&self) -> Call {
        Call::by_service("billing", &self.workspace)
    }

    fn manager(&self) -> Call {
        let user = User { id: new_id(), roles: vec!["kitchen_manager".to_owned()], locale: String::new() };
        Call { user: Some(user), ..Call::by_service("gateway", &self.workspace) }
    }

    /// A new ingredient, of which there is so much.
    pub async fn ingredient(&self, stock: i64) -> String {
        let id = new_id();
        self.put(&id, "Flour", stock).await.unwrap();
        id
    }

    pub async fn put(&self, id: &str, name: &str, stock: i64) -> Result<Ingredient, Error> {
        let (id, name, unit) = (id.to_owned(), name.to_owned(), "g".to_owned());
        let ingredient = Some(Ingredient { id, name, unit, stock, ..Ingredient::default() });
        let request = self.manager().request(PutIngredientRequest { ingredient });
        let answer = self.client.clone().put_ingredient(request).await.map_err(Error::from)?;
        Ok(answer.into_inner().ingredient.unwrap())
    }

    pub async fn restock(&self, id: &str, amount: i64, key: &str) -> Result<Ingredient, Error> {
        let (id, idempotency_key) = (id.to_owned(), key.to_owned());
        let request = self.manager().request(RestockIngredientRequest { id, amount, idempotency_key });
        let answer = self.client.clone().restock_ingredient(request).await.map_err(Error::from)?;
        Ok(answer.into_inner().ingredient.unwrap())
    }

    /// A new dish that takes this of these, and with a modifier `more` one more of the first.
    pub async fn dish(&self, takes: &[(&str, i64)]) -> String {
        let id = new_id();
        self.put_recipe(recipe(&id, takes)).await.unwrap();
        id
    }

    pub async fn put_recipe(&self, recipe: Recipe) -> Result<Recipe, Error> {
        let request = self.manager().request(PutRecipeRequest { recipe: Some(recipe) });
        let answer = self.client.clone().put_recipe(request).await.map_err(Error::from)?;
        Ok(answer.into_inner().recipe.unwrap())
    }

    pub async fn reserve(
        &self,
        id: &str,
        order: &str,
        dishes: &[CookingOrder],
    ) -> Result<Reservation, Error> {
        let (id, order_id) = (id.to_owned(), order.to_owned());
        let asked = ReserveIngredientsRequest { id, order_id, dishes: dishes.to_vec() };
        let answer = self.client.clone().reserve_ingredients(self.billing().request(asked)).await?;
        Ok(answer.into_inner().reservation.unwrap())
    }

    pub async fn release(&self, id: &str, order: &str) -> Result<(), Error> {
        let asked = ReleaseIngredientsRequest { id: id.to_owned(), order_id: order.to_owned() };
        Ok(self.client.clone().release_ingredients(self.billing().request(asked)).await.map(drop)?)
    }

    pub async fn portions(&self, dishes: &[CookingOrder]) -> Vec<DishPortions> {
        let asked = GetPortionsRequest { dishes: dishes.to_vec() };
        let answer = self.client.clone().get_portions(self.billing().request(asked)).await.unwrap();
        answer.into_inner().dishes
    }

    pub async fn ingredients(&self, page_size: i32, page_token: &str) -> (Vec<Ingredient>, String) {
        let asked = ListIngredientsRequest { page_size, page_token: page_token.to_owned() };
        let answer = self.client.clone().list_ingredients(self.manager().request(asked)).await.unwrap();
        let answer = answer.into_inner();
        (answer.ingredients, answer.next_page_token)
    }

    /// Ids of the newest jobs, as a person with this role sees them.
    pub async fn list_jobs(
        &self,
        role: &str,
        page_size: i32,
        status: CookingStatus,
    ) -> Result<Vec<String>, Error> {
        let user = User { id: new_id(), roles: vec![role.to_owned()], locale: String::new() };
        let call = Call { user: Some(user), ..Call::by_service("gateway", &self.workspace) };
        let asked = ListCookingJobsRequest { page_size, status: status.into(), ..Default::default() };
        let answer = self.client.clone().list_cooking_jobs(call.request(asked)).await?;
        Ok(answer.into_inner().jobs.into_iter().map(|job| job.id).collect())
    }

    /// How much there is.
    pub async fn stock(&self, id: &str) -> i64 {
        self.repo.get::<Ingredient>(&self.call(), id).await.unwrap().unwrap().stock
    }
}

/// A recipe that takes this of these, and with a modifier `more` one more of the first.
pub fn recipe(id: &str, takes: &[(&str, i64)]) -> Recipe {
    let portion = |(id, amount): &(&str, i64)| Portion { ingredient_id: (*id).to_owned(), amount: *amount };
    let more = takes.first().map(|(id, _)| ModifierPortion {
        modifier_id: "more".to_owned(),
        ingredient_id: (*id).to_owned(),
        amount: 1,
    });
    Recipe {
        id: id.to_owned(),
        ingredients: takes.iter().map(portion).collect(),
        modifiers: more.into_iter().collect(),
        steps: vec![RecipeStep { action: "fry".to_owned(), seconds: 60 }],
        ..Recipe::default()
    }
}

/// So many of a dish.
pub fn of(dish_id: &str, quantity: i32) -> CookingOrder {
    CookingOrder { dish_id: dish_id.to_owned(), quantity, modifier_ids: Vec::new() }
}

/// The same with more of its first ingredient.
pub fn more_of(dish_id: &str, quantity: i32) -> CookingOrder {
    CookingOrder { modifier_ids: vec!["more".to_owned()], ..of(dish_id, quantity) }
}
