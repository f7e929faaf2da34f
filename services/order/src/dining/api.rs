use std::pin::Pin;
use std::sync::Arc;

use artel_client::Call;
use artel_handle::created;
use artel_proto::order::dining_service_server::DiningService;
use artel_proto::order::{
    ClaimOrderRequest, ClaimOrderResponse, GetBoardRequest, GetBoardResponse, HandOverOrderRequest,
    HandOverOrderResponse, MarkOrderPaidRequest, MarkOrderPaidResponse, PlaceOrderRequest,
    PlaceOrderResponse, ReleaseOrderRequest, ReleaseOrderResponse, WatchBoardRequest, WatchBoardResponse,
};
use artel_repo::Repo;
use artel_util::Error;
use futures::Stream;
use tonic::{Request, Response, Status};

use super::moves::Course;
use super::pay;
use super::place::Kitchen;
use crate::board::{self, Hub};

/// The gRPC methods about dishes and the board.
pub(crate) struct Tables {
    pub(crate) repo: Repo,
    pub(crate) kitchen: Kitchen,
    pub(crate) course: Course,
    pub(crate) hub: Arc<Hub>,
}

#[tonic::async_trait]
impl DiningService for Tables {
    type WatchBoardStream = Pin<Box<dyn Stream<Item = Result<WatchBoardResponse, Status>> + Send>>;

    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let order = self.kitchen.place(Call::of(&request)?, request.get_ref()).await?;
        Ok(created(PlaceOrderResponse {
            order_id: order.id.clone(),
            board_number: order.board_number,
            total: order.total.clone(),
            order: Some(order),
        }))
    }

    async fn get_board(&self, _: Request<GetBoardRequest>) -> Result<Response<GetBoardResponse>, Status> {
        Ok(Response::new(GetBoardResponse { board: Some(self.hub.board().await?) }))
    }

    async fn watch_board(
        &self,
        request: Request<WatchBoardRequest>,
    ) -> Result<Response<Self::WatchBoardStream>, Status> {
        let screen =
            self.hub.screen(board::position(&request.get_ref().position).map_err(Error::from)?).await?;
        Ok(Response::new(Box::pin(screen.messages())))
    }

    async fn hand_over_order(
        &self,
        request: Request<HandOverOrderRequest>,
    ) -> Result<Response<HandOverOrderResponse>, Status> {
        let order = self.course.hand_over(Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(HandOverOrderResponse { order: Some(order) }))
    }

    async fn claim_order(
        &self,
        request: Request<ClaimOrderRequest>,
    ) -> Result<Response<ClaimOrderResponse>, Status> {
        let order = pay::claim(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ClaimOrderResponse { order: Some(order) }))
    }

    async fn release_order(
        &self,
        request: Request<ReleaseOrderRequest>,
    ) -> Result<Response<ReleaseOrderResponse>, Status> {
        pay::release(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ReleaseOrderResponse {}))
    }

    async fn mark_order_paid(
        &self,
        request: Request<MarkOrderPaidRequest>,
    ) -> Result<Response<MarkOrderPaidResponse>, Status> {
        let order = pay::paid(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(MarkOrderPaidResponse { order: Some(order) }))
    }
}
