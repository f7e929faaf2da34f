//! The tree of categories, kept where it is needed: parsed in this process for a moment, and in Redis until somebody
//! changes it.
//!
//! It is not watched: whoever changes it makes Redis forget it, so only other copies' searches see it as it was, for a
//! second at most (`tree_ttl_ms`). Watching would cost each copy a stream for every workspace that was ever asked for.

use std::sync::Arc;
use std::time::Duration;

use artel_cache::{Cache, Redis};
use artel_client::Call;
use artel_proto::Message as _;
use artel_proto::catalog::Category;
use artel_proto::persist::QueryResponse;
use artel_repo::{Direction, Query, Repo};
use artel_util::Error;
use bytes::Bytes;
use futures::FutureExt as _;
use moka::future::Cache as Local;
use tonic::Status;

use crate::config::Settings;
use crate::domain::tree::Tree;

/// Categories asked for at once.
const PAGE: i32 = 1_000;

/// The trees of all workspaces.
#[derive(Clone)]
pub(crate) struct Categories {
    repo: Repo,
    shared: Cache,
    kept: Duration,
    /// For the conditions and facets of searches, which bear a tree of a second ago.
    local: Local<String, Arc<Tree>>,
}

impl Categories {
    pub(crate) fn new(repo: Repo, redis: Redis, settings: &Settings) -> Self {
        let local = Local::builder()
            .max_capacity(1_000)
            .time_to_live(Duration::from_millis(settings.tree_ttl_ms))
            .build();
        let shared = Cache::new(redis, "catalog.tree");
        Self { repo, shared, kept: Duration::from_secs(settings.tree_kept_s), local }
    }

    /// The tree, perhaps as it was a moment ago.
    pub(crate) async fn recent(&self, call: &Call) -> Result<Arc<Tree>, Error> {
        let tree = self.local.try_get_with(call.workspace.clone(), self.load(call).boxed()).await;
        tree.map_err(|status: Arc<Status>| Error::from(Status::clone(&status)))
    }

    /// The tree as the last change left it.
    pub(crate) async fn tree(&self, call: &Call) -> Result<Arc<Tree>, Error> {
        let tree = self.load(call).boxed().await?;
        self.local.insert(call.workspace.clone(), Arc::clone(&tree)).await;
        Ok(tree)
    }

    /// Says that categories changed. Call it after the commit.
    pub(crate) async fn forget(&self, call: &Call) {
        self.shared.invalidate(&call.workspace).await;
        self.local.invalidate(&call.workspace).await;
    }

    async fn load(&self, call: &Call) -> Result<Arc<Tree>, Status> {
        // Boxed, for the compiler does not follow futures as deep as these are nested.
        let load = || async { self.all(call).boxed().await.map_err(Status::from) };
        let bytes = self.shared.get_or_load_bytes(&call.workspace, self.kept, load).await?;
        let list = QueryResponse::decode(bytes).map_err(|error| Status::from(Error::internal(error)))?;
        let categories = list.items.into_iter().map(Category::decode).collect::<Result<Vec<_>, _>>();
        let categories = categories.map_err(|error| Status::from(Error::internal(error)))?;
        Ok(Arc::new(Tree::new(categories)))
    }

    /// Every category of the workspace, in the form in which Redis keeps them.
    async fn all(&self, call: &Call) -> Result<Bytes, Error> {
        let mut list = QueryResponse::default();
        let mut token = String::new();
        loop {
            let query = Query::new().order("id", Direction::Ascending).page(PAGE, token);
            let page = self.repo.query::<Category>(call, query).await?;
            list.items.extend(page.items.iter().map(|category| Bytes::from(category.encode_to_vec())));
            if page.next_page_token.is_empty() {
                return Ok(list.encode_to_vec().into());
            }
            token = page.next_page_token;
        }
    }
}
