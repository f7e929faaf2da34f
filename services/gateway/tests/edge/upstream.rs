//! A small mesh in one server: it notes what reached it, and answers as little as the tests need.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artel_proto::catalog::catalog_service_server::{CatalogService, CatalogServiceServer};
use artel_proto::identity::guest_service_server::{GuestService, GuestServiceServer};
use artel_proto::identity::identity_service_server::{IdentityService, IdentityServiceServer};
use artel_proto::order::order_service_server::{OrderService, OrderServiceServer};
use artel_proto::types::Money;
use artel_proto::{catalog, identity, order};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::tokens::Key;

/// A running upstream.
pub struct Upstream {
    pub address: SocketAddr,
    pub key: Key,
    pub seen: Arc<Seen>,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// What reached it.
#[derive(Default)]
pub struct Seen {
    pub metadata: Mutex<MetadataMap>,
    pub orders: Mutex<Vec<order::CreateOrderRequest>>,
    pub updates: Mutex<Vec<identity::UpdateMeRequest>>,
    pub products: Mutex<Vec<catalog::ListProductsRequest>>,
    pub calls: AtomicU64,
    pub pieces: AtomicU64,
    pub largest: AtomicU64,
    pub bytes: AtomicU64,
    pub internal: AtomicU64,
}

impl Upstream {
    pub async fn start() -> Self {
        Self::with_key(Key::new("first")).await
    }

    pub async fn with_key(key: Key) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, stop) = (Arc::new(Seen::default()), CancellationToken::new());
        let mesh = Mesh { seen: seen.clone(), key: key.clone() };
        let ending = stop.clone();
        let ended = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(OrderServiceServer::new(mesh.clone()))
                .add_service(IdentityServiceServer::new(mesh.clone()))
                .add_service(GuestServiceServer::new(mesh.clone()))
                .add_service(CatalogServiceServer::new(mesh))
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), ending.cancelled_owned())
                .await
                .unwrap();
        });
        Self { address, key, seen, stop, ended }
    }

    /// Takes nothing new and ends once what is under way is done.
    pub async fn drain(self) {
        self.stop.cancel();
        self.ended.await.unwrap();
    }

    /// Ends at once, whatever is under way.
    pub fn kill(self) {
        self.ended.abort();
    }

    pub fn calls(&self) -> u64 {
        self.seen.calls.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Mesh {
    seen: Arc<Seen>,
    key: Key,
}

impl Mesh {
    fn note<T>(&self, request: &Request<T>) {
        *self.seen.metadata.lock().unwrap() = request.metadata().clone();
        self.seen.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn internal<T>(&self) -> Result<Response<T>, Status> {
        self.seen.internal.fetch_add(1, Ordering::Relaxed);
        Err(Status::internal("reached from outside"))
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not part of this test"))
}

#[tonic::async_trait]
impl OrderService for Mesh {
    async fn create_order(
        &self,
        request: Request<order::CreateOrderRequest>,
    ) -> Result<Response<order::CreateOrderResponse>, Status> {
        self.note(&request);
        let request = request.into_inner();
        let order = order::Order { number: "A-1".into(), ..Default::default() };
        self.seen.orders.lock().unwrap().push(request);
        Ok(Response::new(order::CreateOrderResponse { order: Some(order) }))
    }

    /// `page_size` is how many milliseconds it takes.
    async fn list_orders(
        &self,
        request: Request<order::ListOrdersRequest>,
    ) -> Result<Response<order::ListOrdersResponse>, Status> {
        self.note(&request);
        let pause = u64::try_from(request.into_inner().page_size).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(pause)).await;
        Ok(Response::new(order::ListOrdersResponse::default()))
    }

    async fn get_order(
        &self,
        request: Request<order::GetOrderRequest>,
    ) -> Result<Response<order::GetOrderResponse>, Status> {
        self.note(&request);
        let id = request.into_inner().id;
        let mut details = ErrorDetails::new();
        details.set_error_info("ORDER_NOT_FOUND", "artel", [("order".to_owned(), id)]);
        Err(Status::with_error_details(Code::NotFound, "Такого заказа нет.", details))
    }

    async fn cancel_order(
        &self,
        request: Request<order::CancelOrderRequest>,
    ) -> Result<Response<order::CancelOrderResponse>, Status> {
        self.note(&request);
        let mut order = order::Order { id: request.into_inner().id, ..Default::default() };
        order.set_status(order::OrderStatus::Cancelled);
        Ok(Response::new(order::CancelOrderResponse { order: Some(order) }))
    }
}

#[tonic::async_trait]
impl GuestService for Mesh {
    /// A device token is somebody who is known; everybody else is new.
    async fn quick_auth(
        &self,
        request: Request<identity::QuickAuthRequest>,
    ) -> Result<Response<identity::QuickAuthResponse>, Status> {
        self.note(&request);
        let mut answer = Response::new(identity::QuickAuthResponse::default());
        if request.get_ref().device_token.is_empty() {
            answer.metadata_mut().insert("x-artel-status", "201".parse().unwrap());
        }
        Ok(answer)
    }

    async fn confirm_code(
        &self,
        _: Request<identity::ConfirmCodeRequest>,
    ) -> Result<Response<identity::ConfirmCodeResponse>, Status> {
        // No method of those that make something: what it says is not heard.
        let mut answer = Response::new(identity::ConfirmCodeResponse::default());
        answer.metadata_mut().insert("x-artel-status", "201".parse().unwrap());
        Ok(answer)
    }

    async fn reveal_code(
        &self,
        _: Request<identity::RevealCodeRequest>,
    ) -> Result<Response<identity::RevealCodeResponse>, Status> {
        self.internal()
    }
}

#[tonic::async_trait]
impl IdentityService for Mesh {
    async fn register(
        &self,
        _: Request<identity::RegisterRequest>,
    ) -> Result<Response<identity::RegisterResponse>, Status> {
        not_here()
    }

    async fn login(
        &self,
        request: Request<identity::LoginRequest>,
    ) -> Result<Response<identity::LoginResponse>, Status> {
        self.note(&request);
        // As large as it can be with many roles: nothing that is too small to be compressed.
        let access_token = "t".repeat(4000);
        Ok(Response::new(identity::LoginResponse { access_token, ..Default::default() }))
    }

    async fn refresh(
        &self,
        _: Request<identity::RefreshRequest>,
    ) -> Result<Response<identity::RefreshResponse>, Status> {
        not_here()
    }

    async fn logout(
        &self,
        _: Request<identity::LogoutRequest>,
    ) -> Result<Response<identity::LogoutResponse>, Status> {
        not_here()
    }

    async fn get_me(
        &self,
        request: Request<identity::GetMeRequest>,
    ) -> Result<Response<identity::GetMeResponse>, Status> {
        self.note(&request);
        let user = identity::User { email: Some("anna@example.com".into()), ..Default::default() };
        Ok(Response::new(identity::GetMeResponse { user: Some(user) }))
    }

    async fn update_me(
        &self,
        request: Request<identity::UpdateMeRequest>,
    ) -> Result<Response<identity::UpdateMeResponse>, Status> {
        self.note(&request);
        let request = request.into_inner();
        let user = request.user.clone();
        self.seen.updates.lock().unwrap().push(request);
        Ok(Response::new(identity::UpdateMeResponse { user }))
    }

    async fn get_keys(
        &self,
        _: Request<identity::GetKeysRequest>,
    ) -> Result<Response<identity::GetKeysResponse>, Status> {
        Ok(Response::new(identity::GetKeysResponse { keys: vec![self.key.public()] }))
    }

    async fn grant_role(
        &self,
        _: Request<identity::GrantRoleRequest>,
    ) -> Result<Response<identity::GrantRoleResponse>, Status> {
        self.internal()
    }

    async fn revoke_role(
        &self,
        _: Request<identity::RevokeRoleRequest>,
    ) -> Result<Response<identity::RevokeRoleResponse>, Status> {
        self.internal()
    }

    async fn rotate_keys(
        &self,
        _: Request<identity::RotateKeysRequest>,
    ) -> Result<Response<identity::RotateKeysResponse>, Status> {
        self.internal()
    }
}

#[tonic::async_trait]
impl CatalogService for Mesh {
    async fn list_products(
        &self,
        request: Request<catalog::ListProductsRequest>,
    ) -> Result<Response<catalog::ListProductsResponse>, Status> {
        self.note(&request);
        let request = request.into_inner();
        let product = catalog::Product {
            name: "Чайник".into(),
            description: "x".repeat(if request.page_size > 100 { 20_000 } else { 0 }),
            price: Some(Money { amount_minor: 12_900, currency: "RUB".into() }),
            ..Default::default()
        };
        let products = vec![product; usize::try_from(request.page_size.max(1)).unwrap()];
        self.seen.products.lock().unwrap().push(request);
        Ok(Response::new(catalog::ListProductsResponse { products, ..Default::default() }))
    }

    async fn get_product(
        &self,
        request: Request<catalog::GetProductRequest>,
    ) -> Result<Response<catalog::GetProductResponse>, Status> {
        self.note(&request);
        let product = catalog::Product { id: request.into_inner().id, ..Default::default() };
        Ok(Response::new(catalog::GetProductResponse { product: Some(product) }))
    }

    async fn create_product(
        &self,
        _: Request<catalog::CreateProductRequest>,
    ) -> Result<Response<catalog::CreateProductResponse>, Status> {
        not_here()
    }

    async fn update_product(
        &self,
        request: Request<catalog::UpdateProductRequest>,
    ) -> Result<Response<catalog::UpdateProductResponse>, Status> {
        self.note(&request);
        let product = request.into_inner().product;
        Ok(Response::new(catalog::UpdateProductResponse { product }))
    }

    async fn delete_product(
        &self,
        _: Request<catalog::DeleteProductRequest>,
    ) -> Result<Response<catalog::DeleteProductResponse>, Status> {
        not_here()
    }

    async fn list_categories(
        &self,
        request: Request<catalog::ListCategoriesRequest>,
    ) -> Result<Response<catalog::ListCategoriesResponse>, Status> {
        self.note(&request);
        Ok(Response::new(catalog::ListCategoriesResponse::default()))
    }

    /// Counts, at the pace of a service that has something to do.
    async fn import_feed(
        &self,
        request: Request<Streaming<catalog::ImportFeedRequest>>,
    ) -> Result<Response<catalog::ImportFeedResponse>, Status> {
        self.note(&request);
        let mut stream = request.into_inner();
        while let Some(piece) = stream.message().await? {
            let length = piece.file.unwrap_or_default().data.len() as u64;
            self.seen.pieces.fetch_add(1, Ordering::Relaxed);
            self.seen.bytes.fetch_add(length, Ordering::Relaxed);
            self.seen.largest.fetch_max(length, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Response::new(catalog::ImportFeedResponse { imported: 1, ..Default::default() }))
    }
}
