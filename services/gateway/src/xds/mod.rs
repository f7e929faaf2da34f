//! What Envoy is told: resources made from the contracts, the catalogue and the configuration, and the server that
//! keeps every Envoy up to date with them.

mod clusters;
mod compression;
mod endpoints;
mod filters;
mod ids;
mod listener;
mod pack;
mod rations;
mod replies;
mod routes;
mod server;
mod session;
mod snapshot;
mod spans;
#[cfg(test)]
mod table;
mod tls;

pub use server::DiscoveryServer;
pub use snapshot::{Resource, ResourceType, Snapshot};
