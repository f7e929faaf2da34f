//! Envoy's control plane and the mesh's public face: what Consul and the contracts say becomes listeners, routes,
//! clusters and endpoints, told over delta xDS; and here live reflection for the whole mesh, the API
//! reference and the rate limits.

mod authz;
mod catalogue;
mod check;
mod config;
mod control;
mod entrance;
mod json;
mod limiter;
mod limits;
mod pages;
mod reflection;
mod request;
mod service;
mod surface;
mod template;
mod xds;

pub use authz::RequestCheck;
pub use catalogue::Catalogue;
pub use config::{ConfigError, DEFAULTS, GatewayConfig, SECTION, Tls};
pub use control::{ControlError, ControlPlane};
pub use limiter::Limiter;
pub use service::service;
pub use surface::{Surface, SurfaceError};
pub use xds::{DiscoveryServer, Resource, ResourceType, Snapshot};
