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
use crate::facets::Facets;
use crate::import::import;
use crate::list::list;
use crate::products::{create, delete, get, update};

/// The gRPC methods of `catalog`.
pub(crate) struct Catalog {
    pub(crate) repo: Repo,
    pub(crate) categories: Categories,
    pub(crate) facets: Facets,
    pub(crate) settings: Live<Settings>,
}

impl Catalog {
    pub(crate) fn new(repo: Repo, redis: Redis, settings: Live<Settings>) -> Self {
        let categories = Categories::new(repo.clone(), redis, &settings.get());
        let facets = Facets::new(repo.clone(), &settings.get());
        Self { repo, categories, facets, settings }
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
        let call = Call::of(&request)?;
        let created = create(&self.repo, call, request.get_ref()).await;
        self.facets.forget(call);
        Ok(Response::new(created?))
    }

    async fn update_product(
        &self,
        request: Request<UpdateProductRequest>,
    ) -> Result<Response<UpdateProductResponse>, Status> {
        let call = Call::of(&request)?;
        let product = update(&self.repo, call, request.get_ref()).await;
        self.facets.forget(call);
        Ok(Response::new(UpdateProductResponse { product: Some(product?) }))
    }

    async fn delete_product(
        &self,
        request: Request<DeleteProductRequest>,
    ) -> Result<Response<DeleteProductResponse>, Status> {
        let call = Call::of(&request)?;
        let deleted = delete(&self.repo, call, request.get_ref()).await;
        self.facets.forget(call);
        deleted?;
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
        let imported = import(self, &call, request.into_inner()).await;
        // Whatever became of it: what was stored before it failed is stored.
        self.facets.forget(&call);
        Ok(Response::new(imported?))
    }
}
