use artel_cache::Redis;
use artel_client::Call;
use artel_handle::Live;
use artel_proto::catalog::catalog_service_server::CatalogService;
use artel_proto::catalog::{
    CreateProductRequest, CreateProductResponse, DeleteProductRequest, DeleteProductResponse,
    GetProductRequest, GetProductResponse, ImportFeedRequest, ImportFeedResponse, ListCategoriesRequest,
    ListCategoriesResponse, ListProductsRequest, ListProductsResponse, UpdateProductRequest,
    UpdateProductResponse,
};
use artel_repo::Repo;
use tonic::{Request, Response, Status, Streaming};

use crate::categories::Categories;
use crate::config::Settings;
use crate::import::import;
use crate::list::list;
use crate::products::{create, delete, get, update};

/// The gRPC methods of `catalog`.
pub(crate) struct Catalog {
    pub(crate) repo: Repo,
    pub(crate) categories: Categories,
    pub(crate) settings: Live<Settings>,
}

impl Catalog {
    pub(crate) fn new(repo: Repo, redis: Redis, settings: Live<Settings>) -> Self {
        let categories = Categories::new(repo.clone(), redis, &settings.get());
        Self { repo, categories, settings }
    }
}

#[tonic::async_trait]
impl CatalogService for Catalog {
    async fn list_products(
        &self,
        request: Request<ListProductsRequest>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Ok(Response::new(list(self, Call::of(&request)?, request.get_ref()).await?))
    }

    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<GetProductResponse>, Status> {
        let product = get(&self.repo, Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(GetProductResponse { product: Some(product) }))
    }

    async fn create_product(
        &self,
        request: Request<CreateProductRequest>,
    ) -> Result<Response<CreateProductResponse>, Status> {
        Ok(Response::new(create(&self.repo, Call::of(&request)?, request.get_ref()).await?))
    }

    async fn update_product(
        &self,
        request: Request<UpdateProductRequest>,
    ) -> Result<Response<UpdateProductResponse>, Status> {
        let product = update(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(UpdateProductResponse { product: Some(product) }))
    }

    async fn delete_product(
        &self,
        request: Request<DeleteProductRequest>,
    ) -> Result<Response<DeleteProductResponse>, Status> {
        delete(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(DeleteProductResponse {}))
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        let tree = self.categories.tree(Call::of(&request)?).await?;
        Ok(Response::new(ListCategoriesResponse { categories: tree.nodes() }))
    }

    async fn import_feed(
        &self,
        request: Request<Streaming<ImportFeedRequest>>,
    ) -> Result<Response<ImportFeedResponse>, Status> {
        let call = Call::of(&request)?.clone();
        Ok(Response::new(import(self, &call, request.into_inner()).await?))
    }
}
