//! What Envoy is told: resources made from the contracts, the catalogue and the configuration, and the server that
//! keeps every Envoy up to date with them.

mod clusters;
mod endpoints;
mod filters;
mod listener;
mod pack;
mod replies;
mod routes;
mod server;
mod session;
mod snapshot;
#[cfg(test)]
mod table;

pub use server::DiscoveryServer;
pub use snapshot::{Resource, ResourceType, Snapshot};
