use std::sync::Arc;

use artel_client::Call;
use artel_handle::Live;
use artel_proto::menu::menu_service_server::MenuService;
use artel_proto::menu::{
    CheckAvailabilityRequest, CheckAvailabilityResponse, DeleteDishRequest, DeleteDishResponse, Dish,
    DishLine, DishOffer, GetDishRequest, GetDishResponse, ListMenuCategoriesRequest,
    ListMenuCategoriesResponse, PutDishRequest, PutDishResponse, PutMenuCategoryRequest,
    PutMenuCategoryResponse,
};
use artel_repo::Repo;
use artel_util::Error;
use tonic::{Request, Response, Status};

use crate::domain::{answered, offer, question};
use crate::edit::{delete_dish, put_category, put_dish};
use crate::error::Refusal;
use crate::kitchen::Kitchen;
use crate::settings::Settings;
use crate::shown::{Clock, Shown};

/// The gRPC methods of `menu`.
pub(crate) struct Menu {
    pub(crate) repo: Repo,
    pub(crate) kitchen: Arc<dyn Kitchen>,
    pub(crate) shown: Shown,
    pub(crate) settings: Live<Settings>,
    pub(crate) clock: Clock,
}

impl Menu {
    /// What these lines come to now. The kitchen is asked for all of them together, and every time.
    async fn offers(&self, call: &Call, lines: &[DishLine], locale: &str) -> Result<Vec<DishOffer>, Error> {
        let lower = |line: &DishLine| DishLine { dish_id: line.dish_id.to_ascii_lowercase(), ..line.clone() };
        let lines: Vec<DishLine> = lines.iter().map(lower).collect();
        let dishes: Vec<Dish> =
            self.repo.get_many(call, lines.iter().map(|line| line.dish_id.clone())).await?;
        let (day, now) = (self.settings.get().day().map_err(Error::internal)?, (self.clock)());
        let mut offers = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            let dish = dishes.iter().find(|dish| dish.id == line.dish_id);
            let offer = offer(line, dish, &day, locale, now);
            offers.push(offer.ok_or(Refusal::TooDear { index })?);
        }
        let (at, asked) = question(&lines, &offers);
        if !asked.is_empty() {
            let portions = self.kitchen.portions(call, asked).await.map_err(|error| {
                if error.is_transient() { Error::from(Refusal::KitchenAway).caused_by(error) } else { error }
            })?;
            answered(&mut offers, &at, &portions);
        }
        Ok(offers)
    }
}

#[tonic::async_trait]
impl MenuService for Menu {
    async fn list_menu_categories(
        &self,
        request: Request<ListMenuCategoriesRequest>,
    ) -> Result<Response<ListMenuCategoriesResponse>, Status> {
        let menu = self.shown.menu(Call::of(&request)?, &request.get_ref().locale).await?;
        Ok(Response::new(menu))
    }

    async fn check_availability(
        &self,
        request: Request<CheckAvailabilityRequest>,
    ) -> Result<Response<CheckAvailabilityResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let offers = self.offers(call, &asked.lines, &asked.locale).await?;
        Ok(Response::new(CheckAvailabilityResponse { offers }))
    }

    async fn put_menu_category(
        &self,
        request: Request<PutMenuCategoryRequest>,
    ) -> Result<Response<PutMenuCategoryResponse>, Status> {
        let call = Call::of(&request)?;
        let asked = request.get_ref().category.clone().unwrap_or_default();
        let category = put_category(&self.repo, call, asked).await;
        // Also where it failed: perhaps only the answer was lost.
        self.shown.forget(call).await;
        Ok(Response::new(PutMenuCategoryResponse { category: Some(category?) }))
    }

    async fn put_dish(&self, request: Request<PutDishRequest>) -> Result<Response<PutDishResponse>, Status> {
        let call = Call::of(&request)?;
        let dish = put_dish(&self.repo, call, request.get_ref().dish.clone().unwrap_or_default()).await;
        self.shown.forget(call).await;
        Ok(Response::new(PutDishResponse { dish: Some(dish?) }))
    }

    async fn get_dish(&self, request: Request<GetDishRequest>) -> Result<Response<GetDishResponse>, Status> {
        let id = &request.get_ref().id;
        let dish: Option<Dish> = self.repo.get(Call::of(&request)?, id).await?;
        let dish = dish.ok_or_else(|| Error::from(Refusal::NoSuchDish { id: id.clone() }))?;
        Ok(Response::new(GetDishResponse { dish: Some(dish) }))
    }

    async fn delete_dish(
        &self,
        request: Request<DeleteDishRequest>,
    ) -> Result<Response<DeleteDishResponse>, Status> {
        let call = Call::of(&request)?;
        let deleted = delete_dish(&self.repo, call, &request.get_ref().id).await;
        self.shown.forget(call).await;
        deleted?;
        Ok(Response::new(DeleteDishResponse {}))
    }
}
