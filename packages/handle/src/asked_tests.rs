//! A service for the tests of what stands around one.

use std::future::Future;

use artel_proto::order::order_service_server::OrderService;
use artel_proto::order::{
    CancelOrderRequest, CancelOrderResponse, CreateOrderRequest, CreateOrderResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse,
};
use tonic::{Request, Response, Status};

/// Orders that can be asked for, and nothing else: an answer is there when what is awaited has happened.
pub(crate) struct Asked<F>(pub(crate) F);

#[tonic::async_trait]
impl<F, Fut> OrderService for Asked<F>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    async fn get_order(&self, _: Request<GetOrderRequest>) -> Result<Response<GetOrderResponse>, Status> {
        self.0().await;
        Ok(Response::new(GetOrderResponse::default()))
    }

    async fn create_order(
        &self,
        _: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_orders(
        &self,
        _: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn cancel_order(
        &self,
        _: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}
