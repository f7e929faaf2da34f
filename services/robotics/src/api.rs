use artel_client::Call;
use artel_proto::robotics::robotics_service_server::RoboticsService;
use artel_proto::robotics::{
    CookingJob, CookingStatus, GetPortionsRequest, GetPortionsResponse, Ingredient, ListCookingJobsRequest,
    ListCookingJobsResponse, ListIngredientsRequest, ListIngredientsResponse, PutIngredientRequest,
    PutIngredientResponse, PutRecipeRequest, PutRecipeResponse, ReleaseIngredientsRequest,
    ReleaseIngredientsResponse, ReserveIngredientsRequest, ReserveIngredientsResponse,
    RestockIngredientRequest, RestockIngredientResponse,
};
use artel_repo::{Direction, Query, Repo};
use tonic::{Request, Response, Status};

use crate::reserve::{release, reserve};
use crate::stock::{get_portions, put_ingredient, put_recipe, restock};

/// The gRPC methods of `robotics`.
pub(crate) struct Robotics {
    repo: Repo,
}

impl Robotics {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }
}

#[tonic::async_trait]
impl RoboticsService for Robotics {
    async fn get_portions(
        &self,
        request: Request<GetPortionsRequest>,
    ) -> Result<Response<GetPortionsResponse>, Status> {
        let dishes = get_portions(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(GetPortionsResponse { dishes }))
    }

    async fn reserve_ingredients(
        &self,
        request: Request<ReserveIngredientsRequest>,
    ) -> Result<Response<ReserveIngredientsResponse>, Status> {
        let reservation = reserve(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ReserveIngredientsResponse { reservation: Some(reservation) }))
    }

    async fn release_ingredients(
        &self,
        request: Request<ReleaseIngredientsRequest>,
    ) -> Result<Response<ReleaseIngredientsResponse>, Status> {
        release(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ReleaseIngredientsResponse {}))
    }

    async fn list_ingredients(
        &self,
        request: Request<ListIngredientsRequest>,
    ) -> Result<Response<ListIngredientsResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let query =
            Query::new().order("id", Direction::Ascending).page_asked(asked.page_size, &asked.page_token);
        let page = self.repo.query::<Ingredient>(call, query).await?;
        Ok(Response::new(ListIngredientsResponse {
            ingredients: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn put_ingredient(
        &self,
        request: Request<PutIngredientRequest>,
    ) -> Result<Response<PutIngredientResponse>, Status> {
        let ingredient = put_ingredient(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(PutIngredientResponse { ingredient: Some(ingredient) }))
    }

    async fn restock_ingredient(
        &self,
        request: Request<RestockIngredientRequest>,
    ) -> Result<Response<RestockIngredientResponse>, Status> {
        let ingredient = restock(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(RestockIngredientResponse { ingredient: Some(ingredient) }))
    }

    async fn put_recipe(
        &self,
        request: Request<PutRecipeRequest>,
    ) -> Result<Response<PutRecipeResponse>, Status> {
        let recipe = put_recipe(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(PutRecipeResponse { recipe: Some(recipe) }))
    }

    async fn list_cooking_jobs(
        &self,
        request: Request<ListCookingJobsRequest>,
    ) -> Result<Response<ListCookingJobsResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        // Ids sort by the time they were made.
        let mut query =
            Query::new().order("id", Direction::Descending).page_asked(asked.page_size, &asked.page_token);
        if asked.status() != CookingStatus::Unspecified {
            query = query.equal("status", asked.status().as_str_name());
        }
        let page = self.repo.query::<CookingJob>(call, query).await?;
        Ok(Response::new(ListCookingJobsResponse { jobs: page.items, next_page_token: page.next_page_token }))
    }
}
