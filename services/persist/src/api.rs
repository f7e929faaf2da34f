//! The gRPC methods: read the call, do it, answer.

use std::sync::Arc;

use artel_client::Call;
use artel_proto::persist::persist_service_server::PersistService;
use artel_proto::persist::{
    AggregateRequest, AggregateResponse, CancelReplayRequest, CancelReplayResponse, CommitRequest,
    CommitResponse, GetRequest, GetResponse, ListWorkspacesRequest, ListWorkspacesResponse, QueryRequest,
    QueryResponse, RecallRequest, RecallResponse, ReplayRequest, VerifyRequest, WatchRequest,
};
use futures::FutureExt as _;
use tonic::{Request, Response, Status};

use crate::caller::Caller;
use crate::database::Scope;
use crate::history::{Checked, Watched};
use crate::persist::Persist;
use crate::query;
use crate::replay;

/// The API over what persist is made of.
#[derive(Clone)]
pub(crate) struct Api(pub(crate) Arc<Persist>);

impl Api {
    fn read<T>(&self, request: &Request<T>) -> Result<(Caller, Scope), Status> {
        let caller = Caller::try_from(Call::of(request)?)?;
        let scope = self.0.scope(&caller)?;
        Ok((caller, scope))
    }
}

#[tonic::async_trait]
impl PersistService for Api {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let (_, scope) = self.read(&request)?;
        let (Persist { reads, gets, plans, .. }, request) = (&*self.0, request.get_ref());
        let ask = |replica| gets.get(replica, plans, scope, request).boxed();
        if let Some(answer) = self.0.stale(request.consistency.as_ref(), ask).await {
            return Ok(Response::new(answer?));
        }
        Ok(Response::new(gets.get(reads, plans, scope, request).await?))
    }

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<QueryResponse>, Status> {
        let (caller, scope) = self.read(&request)?;
        let (Persist { reads, plans, .. }, request) = (&*self.0, request.get_ref());
        let ask = |replica| query::query(replica, plans, scope, &caller, request).boxed();
        if let Some(answer) = self.0.stale(request.consistency.as_ref(), ask).await {
            return Ok(Response::new(answer?));
        }
        Ok(Response::new(query::query(reads, plans, scope, &caller, request).await?))
    }

    async fn aggregate(
        &self,
        request: Request<AggregateRequest>,
    ) -> Result<Response<AggregateResponse>, Status> {
        let (_, scope) = self.read(&request)?;
        let (Persist { reads, zones, plans, .. }, request) = (&*self.0, request.get_ref());
        let ask = |replica| query::aggregate(replica, zones, plans, scope, request).boxed();
        if let Some(answer) = self.0.stale(request.consistency.as_ref(), ask).await {
            return Ok(Response::new(answer?));
        }
        Ok(Response::new(query::aggregate(reads, zones, plans, scope, request).await?))
    }

    async fn list_workspaces(
        &self,
        request: Request<ListWorkspacesRequest>,
    ) -> Result<Response<ListWorkspacesResponse>, Status> {
        let (caller, scope) = self.read(&request)?;
        let Persist { system, plans, .. } = &*self.0;
        let found = query::workspaces(system, plans, scope, &caller, request.get_ref()).await?;
        Ok(Response::new(found))
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitResponse>, Status> {
        let caller = Caller::try_from(Call::of(&request)?)?;
        let Persist { plans, committer, history, .. } = &*self.0;
        plans.may_tell(&caller.service, request.get_ref().events.iter().map(|event| &event.r#type))?;
        let answer = committer.commit(caller, request.into_inner()).await?;
        history.committed();
        Ok(Response::new(answer))
    }

    async fn recall(&self, request: Request<RecallRequest>) -> Result<Response<RecallResponse>, Status> {
        let caller = Caller::try_from(Call::of(&request)?)?;
        Ok(Response::new(self.0.committer.recall(&caller, request.into_inner()).await?))
    }

    type ReplayStream = replay::Progress;

    async fn replay(&self, request: Request<ReplayRequest>) -> Result<Response<Self::ReplayStream>, Status> {
        let call = Call::of(&request)?.clone();
        let Persist { system, plans, resend, .. } = &*self.0;
        let progress = replay::replay(system, plans, resend.get(), &call, request.into_inner()).await?;
        Ok(Response::new(progress))
    }

    async fn cancel_replay(
        &self,
        request: Request<CancelReplayRequest>,
    ) -> Result<Response<CancelReplayResponse>, Status> {
        let system = &self.0.system;
        Ok(Response::new(replay::cancel(system, Call::of(&request)?, request.get_ref()).await?))
    }

    type WatchStream = Watched;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Watched>, Status> {
        let caller = Caller::try_from(Call::of(&request)?)?;
        Ok(Response::new(self.0.history.watch(&caller, request.into_inner()).await?))
    }

    type VerifyStream = Checked;

    async fn verify(&self, request: Request<VerifyRequest>) -> Result<Response<Checked>, Status> {
        let caller = Caller::try_from(Call::of(&request)?)?;
        // A long log takes longer than one statement may.
        let scope = Scope::new(&caller, None, self.0.time);
        let verifier = Arc::clone(&self.0.verifier);
        Ok(Response::new(verifier.verify(scope, request.get_ref()).await?))
    }
}
