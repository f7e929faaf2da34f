//! What is for sale: products, the tree of categories, search with facets, and the import of feeds.
//!
//! An editor's changes are told one by one (`product.changed`); a feed's are not, for there may be a million of them:
//! an import ends with one `feed.imported`.

mod api;
mod categories;
mod config;
mod domain;
mod facets;
mod import;
mod list;
mod products;
mod refusal;

use artel_cache::Redis;
use artel_handle::{Host, Live, Service, Shape};
use artel_proto::catalog::catalog_service_server::CatalogServiceServer;
use artel_repo::Repo;

use crate::api::Catalog;

pub use crate::config::{DEFAULTS, Settings};

/// The section `[catalog]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `catalog`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let redis = Redis::open(host.mesh().redis.reveal())?;
    Ok(over(host.repo(), redis, host.settings()?))
}

/// The service over these surroundings.
#[must_use]
pub fn over(repo: Repo, redis: Redis, settings: Live<Settings>) -> Service {
    let catalog = Catalog::new(repo, redis, settings);
    Service::new("catalog").grpc(CatalogServiceServer::new(catalog))
}
