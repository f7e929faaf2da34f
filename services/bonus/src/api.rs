use artel_client::Call;
use artel_proto::bonus::bonus_service_server::BonusService;
use artel_proto::bonus::{
    BonusEntry, GetBonusAccountRequest, GetBonusAccountResponse, GrantBonusRequest, GrantBonusResponse,
    HoldBonusRequest, HoldBonusResponse, ListBonusEntriesRequest, ListBonusEntriesResponse,
    ReleaseHoldRequest, ReleaseHoldResponse, ReturnBonusRequest, ReturnBonusResponse, SpendHoldRequest,
    SpendHoldResponse,
};
use artel_proto::persist::Operator;
use artel_repo::{Direction, Filter, Query, Repo};
use tonic::{Request, Response, Status};

use crate::account::Account;
use crate::grant::grant;
use crate::holds::{give_back, hold, release, spend};

/// The gRPC methods of `bonus`.
pub(crate) struct Bonus {
    repo: Repo,
}

impl Bonus {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }
}

#[tonic::async_trait]
impl BonusService for Bonus {
    async fn get_bonus_account(
        &self,
        request: Request<GetBonusAccountRequest>,
    ) -> Result<Response<GetBonusAccountResponse>, Status> {
        let call = Call::of(&request)?;
        let account = Account::of(&self.repo, call, call.user_id()?).await?;
        Ok(Response::new(GetBonusAccountResponse { account: Some(account.row) }))
    }

    async fn list_bonus_entries(
        &self,
        request: Request<ListBonusEntriesRequest>,
    ) -> Result<Response<ListBonusEntriesResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        // An order that earned nothing has an entry that says so, for its refund to find; it is no news to the guest.
        let query = Query::new()
            .equal("user_id", call.user_id()?)
            .filter(Filter::compare("amount", Operator::NotEqual, [0_i64.into()]))
            .order("create_time", Direction::Descending)
            .page_asked(asked.page_size, &asked.page_token);
        let page = self.repo.query::<BonusEntry>(call, query).await?;
        Ok(Response::new(ListBonusEntriesResponse {
            entries: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn grant_bonus(
        &self,
        request: Request<GrantBonusRequest>,
    ) -> Result<Response<GrantBonusResponse>, Status> {
        let entry = grant(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(GrantBonusResponse { entry: Some(entry) }))
    }

    async fn hold_bonus(
        &self,
        request: Request<HoldBonusRequest>,
    ) -> Result<Response<HoldBonusResponse>, Status> {
        let hold = hold(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(HoldBonusResponse { hold: Some(hold) }))
    }

    async fn spend_hold(
        &self,
        request: Request<SpendHoldRequest>,
    ) -> Result<Response<SpendHoldResponse>, Status> {
        spend(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(SpendHoldResponse {}))
    }

    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldResponse>, Status> {
        release(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ReleaseHoldResponse {}))
    }

    async fn return_bonus(
        &self,
        request: Request<ReturnBonusRequest>,
    ) -> Result<Response<ReturnBonusResponse>, Status> {
        give_back(&self.repo, Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(ReturnBonusResponse {}))
    }
}
