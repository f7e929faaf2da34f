//! Tells people what happened to what is theirs: a message inside the application and an e-mail for each change of an
//! order, in their language.
//!
//! What is told is written in one commit with the event's id as key, so it is written once. An e-mail is then sent by
//! whoever holds its lease. To the mail server that is at least once, always with the same Message-ID: a sender that
//! dies between the server's yes and its own note of it makes the e-mail go out again, and a mailbox that suppresses
//! duplicates, as mail stores do, shows it once.

mod api;
mod config;
mod domain;
mod language;
mod listen;
mod outbox;
mod rows;
mod smtp;
mod templates;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::notify::EmailQueued;
use artel_proto::notify::notify_service_server::NotifyServiceServer;
use artel_proto::order::{OrderCancelled, OrderPlaced};

use crate::api::Notifications;
use crate::config::Settings;
use crate::listen::{Postman, Teller};
use crate::outbox::Outbox;
use crate::rows::Rows;
use crate::smtp::Smtp;
use crate::templates::Templates;

/// The documented defaults of the section `[notify]`.
pub const DEFAULTS: &str = include_str!("../config.toml");
/// The section, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `notify`.
///
/// # Errors
/// Where its configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let live: Live<Settings> = host.settings()?;
    let settings = live.get();
    let repo = host.repo();
    let teller = Teller::new(repo.clone(), Templates::load()?, live.clone());
    let outbox = Outbox::new(Arc::new(Rows::new(repo.clone())), Arc::new(Smtp::new(live)?), settings.rules());
    let sweeper = outbox.clone();
    Ok(Service::new("notify")
        .grpc(NotifyServiceServer::new(Notifications::new(repo)))
        .listen::<OrderPlaced>(teller.clone())
        .listen::<OrderCancelled>(teller)
        .listen::<EmailQueued>(Postman::new(outbox))
        .every(settings.sweep(), move |call| {
            let sweeper = sweeper.clone();
            async move { sweeper.sweep(&call).await }
        }))
}
