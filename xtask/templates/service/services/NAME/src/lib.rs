//! {{Entities}} of people: made, listed, read. A new one is told by `{{entity}}.created`.

mod api;
mod domain;
mod error;

use artel_handle::{Host, Service};
use artel_proto::{{name}}::{{name}}_service_server::{{Name}}ServiceServer;

use crate::api::{{Entities}};

/// The service `{{name}}`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("{{name}}").grpc({{Name}}ServiceServer::new({{Entities}}::new(host.repo()))))
}
