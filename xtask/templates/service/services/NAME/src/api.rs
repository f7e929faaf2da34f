use artel_client::Call;
use artel_proto::Message as _;
use artel_proto::{{name}}::{{name}}_service_server::{{Name}}Service;
use artel_proto::{{name}}::{
    Create{{Entity}}Request, Create{{Entity}}Response, Get{{Entity}}Request, Get{{Entity}}Response,
    List{{Entities}}Request, List{{Entities}}Response, {{Entity}}, {{Entity}}Created,
};
use artel_repo::{Commit, Direction, Query, Repo, digest};
use artel_util::{Error, now};
use tonic::{Request, Response, Status};

use crate::domain::draft;
use crate::error::Refusal;

/// The gRPC methods of `{{name}}`.
pub(crate) struct {{Entities}} {
    repo: Repo,
}

impl {{Entities}} {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }

    /// Makes one. With a key, the same request gives the same one however often it comes.
    async fn create(&self, call: &Call, request: &Create{{Entity}}Request) -> Result<{{Entity}}, Error> {
        let made = draft(call.user_id()?, &request.name, now())?;
        let event = {{Entity}}Created { {{entity}}_id: made.id.clone(), user_id: made.user_id.clone() };
        let mut commit = Commit::new().insert(&made).publish(&event);
        if !request.idempotency_key.is_empty() {
            let key = format!("{{entity}}.create/{}/{}", made.user_id, request.idempotency_key);
            commit = commit.once(key, digest(request), made.encode_to_vec());
        }
        let committed = self.repo.commit(call, commit).await?;
        if committed.replayed {
            return {{Entity}}::decode(committed.answer).map_err(Error::internal);
        }
        Ok(made)
    }

    /// The one with this id, where it is the caller's.
    async fn own(&self, call: &Call, id: &str) -> Result<{{Entity}}, Error> {
        let user_id = call.user_id()?;
        let found: Option<{{Entity}}> = self.repo.get(call, id).await?;
        Ok(found.filter(|found| found.user_id == user_id).ok_or(Refusal::NotThere)?)
    }
}

#[tonic::async_trait]
impl {{Name}}Service for {{Entities}} {
    async fn create_{{entity}}(
        &self,
        request: Request<Create{{Entity}}Request>,
    ) -> Result<Response<Create{{Entity}}Response>, Status> {
        let made = self.create(Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(Create{{Entity}}Response { {{entity}}: Some(made) }))
    }

    async fn list_{{entities}}(
        &self,
        request: Request<List{{Entities}}Request>,
    ) -> Result<Response<List{{Entities}}Response>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let query = Query::new()
            .equal("user_id", call.user_id()?)
            .order("create_time", Direction::Descending)
            .page_asked(asked.page_size, &asked.page_token);
        let page = self.repo.query::<{{Entity}}>(call, query).await?;
        Ok(Response::new(List{{Entities}}Response {
            {{entities}}: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn get_{{entity}}(
        &self,
        request: Request<Get{{Entity}}Request>,
    ) -> Result<Response<Get{{Entity}}Response>, Status> {
        let found = self.own(Call::of(&request)?, &request.get_ref().id).await?;
        Ok(Response::new(Get{{Entity}}Response { {{entity}}: Some(found) }))
    }
}
