//! What Envoy is told: resources made from the contracts, the catalogue and the configuration, and the server that
//! keeps every Envoy up to date with them.

mod clusters;
mod compression;
mod created;
mod endpoints;
mod filters;
mod head;
mod ids;
mod listener;
mod pack;
mod plain;
mod rations;
mod replies;
mod routes;
mod script;
mod server;
mod session;
mod snapshot;
mod spans;
#[cfg(test)]
mod table;
mod tls;

pub(crate) use filters::{CLAIMS, JWT};
pub(crate) use pack::header;
pub(crate) use rations::{V4_BITS, V6_BITS};
pub use server::DiscoveryServer;
pub use snapshot::{Resource, ResourceType, Snapshot};
