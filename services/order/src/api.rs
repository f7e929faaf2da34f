use artel_client::Call;
use artel_proto::order::order_service_server::OrderService;
use artel_proto::order::{
    CancelOrderRequest, CancelOrderResponse, CreateOrderRequest, CreateOrderResponse, GetOrderRequest,
    GetOrderResponse, ListOrdersRequest, ListOrdersResponse, Order, OrderStatus,
};
use artel_repo::{Direction, Query, Repo};
use tonic::{Request, Response, Status};

use crate::place::{cancel, own, place};

/// The gRPC methods of `order`.
pub(crate) struct Orders {
    repo: Repo,
}

impl Orders {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }
}

#[tonic::async_trait]
impl OrderService for Orders {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let order = place(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(CreateOrderResponse { order: Some(order) }))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let mut query = Query::new()
            .equal("user_id", call.user_id()?)
            .order("create_time", Direction::Descending)
            .page_asked(asked.page_size, &asked.page_token);
        if asked.status() != OrderStatus::Unspecified {
            query = query.equal("status", asked.status().as_str_name());
        }
        let page = self.repo.query::<Order>(call, query).await?;
        Ok(Response::new(ListOrdersResponse { orders: page.items, next_page_token: page.next_page_token }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let order = own(&self.repo, Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(GetOrderResponse { order: Some(order) }))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let order = cancel(&self.repo, Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(CancelOrderResponse { order: Some(order) }))
    }
}
