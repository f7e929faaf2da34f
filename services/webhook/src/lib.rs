//! The door for systems outside the mesh: what a bank, a messenger or a marketplace sends to `/webhooks/{source}` is kept
//! as it came, to the byte, and told of in the same commit (`webhook.received`). The sender is answered after that, so
//! nothing that was answered is lost; what is sent again is kept once where the sender gives its deliveries ids.
//!
//! Nobody's signature is checked here: only the service that owns a source has its secret, and only it may read what came
//! (`artel_inbox`). It is a service of its own, beside the gateway, because the gateway must go on steering Envoy while
//! there is no storage, and because an event belongs to the service whose package declares it.

mod answer;
mod api;
mod domain;
mod door;
mod settings;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::webhook::webhook_service_server::WebhookServiceServer;

use crate::api::Webhooks;
use crate::door::Door;
use crate::settings::Settings;

/// The documented defaults of the section `[webhook]`.
pub const DEFAULTS: &str = include_str!("../config.toml");
/// The section, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// The service `webhook`.
///
/// # Errors
/// Where its configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings: Live<Settings> = host.settings()?;
    let repo = host.repo();
    let door = Arc::new(Door::new(repo.clone(), settings.clone(), host.call()));
    let swept = repo.clone();
    Ok(Service::new("webhook")
        .http(door::router(door))
        .grpc(WebhookServiceServer::new(Webhooks::new(repo, settings.clone())))
        .every(SWEEP, move |call| sweep::sweep(swept.clone(), settings.get(), call)))
}
