//! Envoy's control plane and the mesh's public face: what Consul and the contracts say becomes listeners, routes,
//! clusters and endpoints, told over delta xDS; and here live reflection for the whole mesh and the API reference.

mod authz;
mod body;
mod catalogue;
mod config;
mod control;
mod pages;
mod reflection;
mod service;
mod surface;
mod template;
mod xds;

pub use authz::BodyCheck;
pub use catalogue::Catalogue;
pub use config::{ConfigError, DEFAULTS, GatewayConfig, SECTION};
pub use control::{ControlError, ControlPlane};
pub use service::service;
pub use surface::{Surface, SurfaceError};
pub use xds::{DiscoveryServer, Resource, ResourceType, Snapshot};
