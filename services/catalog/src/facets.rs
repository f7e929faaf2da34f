//! What all that match a search falls into, kept for a moment: every page of a search shows it.

use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_proto::Message as _;
use artel_proto::catalog::{ListProductsRequest, Product};
use artel_repo::{Group, Measure, Query, Repo};
use artel_util::Error;
use futures::FutureExt as _;
use moka::future::Cache;
use tonic::Status;

use crate::config::Settings;

/// Values of a facet at most.
const MOST_VALUES: usize = 50;
/// One more than that: products without a maker or category make a group of their own, which is left out.
const GROUPS: i32 = 51;

/// The facets of recent searches, of all workspaces.
#[derive(Clone)]
pub(crate) struct Facets {
    repo: Repo,
    /// By the workspace and what was asked for.
    kept: Cache<(String, Vec<u8>), Arc<Counts>>,
}

/// How many there are of each value, the most frequent first.
#[derive(Debug)]
pub(crate) struct Counts {
    /// By the ids of categories.
    pub(crate) categories: Vec<(String, i32)>,
    pub(crate) vendors: Vec<(String, i32)>,
}

impl Facets {
    pub(crate) fn new(repo: Repo, settings: &Settings) -> Self {
        let kept = Cache::builder()
            .max_capacity(settings.facets_kept)
            .time_to_live(Duration::from_millis(settings.facets_ttl_ms))
            .support_invalidation_closures()
            .build();
        Self { repo, kept }
    }

    /// The facets of what matches, perhaps as they were a moment ago. One count of a search runs at a time.
    pub(crate) async fn of(
        &self,
        call: &Call,
        asked: &ListProductsRequest,
        matching: &Query,
    ) -> Result<Arc<Counts>, Error> {
        let search = ListProductsRequest {
            page_size: 0,
            page_token: String::new(),
            order_by: String::new(),
            ..asked.clone()
        };
        let key = (call.workspace.clone(), search.encode_to_vec());
        let counts = self.kept.try_get_with(key, self.count(call, matching).boxed()).await;
        counts.map_err(|status: Arc<Status>| Error::from(Status::clone(&status)))
    }

    /// Says that products or categories changed. Call it after the commit.
    pub(crate) fn forget(&self, call: &Call) {
        let workspace = call.workspace.clone();
        let forgotten = self.kept.invalidate_entries_if(move |(of, _), _| *of == workspace);
        // Only a cache that was built without closures refuses one.
        forgotten.map(drop).unwrap_or_default();
    }

    async fn count(&self, call: &Call, matching: &Query) -> Result<Arc<Counts>, Status> {
        let by = |field| {
            let fields = [field];
            let matching = matching.clone();
            async move {
                let counted =
                    self.repo.aggregate::<Product>(call, matching, &fields, [Measure::count()], GROUPS).await;
                counted.map(|groups| named(&groups)).map_err(Status::from)
            }
        };
        let (categories, vendors) = tokio::try_join!(by("category_id"), by("vendor"))?;
        Ok(Arc::new(Counts { categories, vendors }))
    }
}

/// The groups with a value, and their counts.
fn named(groups: &[Group]) -> Vec<(String, i32)> {
    let groups =
        groups.iter().map(|group| (group.text(0), i32::try_from(group.number(0)).unwrap_or(i32::MAX)));
    let named = groups.filter(|(value, _)| !value.is_empty()).take(MOST_VALUES);
    named.map(|(value, count)| (value.to_owned(), count)).collect()
}
