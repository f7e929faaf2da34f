//! Tells people what happened to what is theirs, in their language: a message inside the application, an e-mail for an
//! order of the shop, an SMS and a push message for an order of dishes, and codes by SMS for who signs in by phone.
//!
//! What is told is written in one commit with the event's id as key, so it is written once, by all ways or by none. A letter
//! is then sent by whoever holds its lease. What that promises is the channel's:
//!
//! ```text
//! in the application   once
//! e-mail               at least once, always with the same Message-ID: a mailbox that suppresses duplicates, as mail stores
//!                      do, shows one whose sender died between the server's yes and its own note of it once
//! SMS                  once: the provider knows it by our id, and is asked before it is sent again
//! push                 at most once: FCM takes no key and cannot be asked
//! ```

mod api;
mod config;
mod devices;
mod domain;
mod language;
mod letter;
mod listen;
mod outbox;
mod push;
mod rows;
mod sms;
mod smtp;
mod templates;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::billing::PaymentRefunded;
use artel_proto::identity::PhoneCodeRequested;
use artel_proto::identity::guest_service_client::GuestServiceClient;
use artel_proto::notify::notify_service_server::NotifyServiceServer;
use artel_proto::notify::push_service_server::PushServiceServer;
use artel_proto::notify::{EmailQueued, Push, PushQueued, Sms, SmsQueued};
use artel_proto::order::{OrderCancelled, OrderPaid, OrderPlaced};
use artel_proto::robotics::OrderReady;

use crate::api::Notifications;
use crate::config::Settings;
use crate::devices::Devices;
use crate::listen::{CodeSender, Postman, Teller};
use crate::outbox::{Carrier, Off, Outbox};
use crate::push::{Alerter, Fcm};
use crate::rows::Rows;
use crate::sms::{Smsc, Texter};
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
    let (repo, templates) = (host.repo(), Templates::load()?);
    let identity = GuestServiceClient::new(host.channel("identity"));
    let teller = Teller::new(repo.clone(), templates.clone(), live.clone());
    let codes = CodeSender::new(repo.clone(), identity.clone(), settings.clone());

    let texter: Arc<dyn Carrier<Sms>> = if settings.sms.is_on() {
        let messenger = Arc::new(Smsc::new(&settings.sms)?);
        Arc::new(Texter::new(messenger, identity, templates, live.clone()))
    } else {
        Arc::new(Off)
    };
    let alerter: Arc<dyn Carrier<Push>> = if settings.push.is_on() {
        Arc::new(Alerter::new(Arc::new(Fcm::new(&settings.push)?), repo.clone()))
    } else {
        Arc::new(Off)
    };
    let emails = Outbox::new(Arc::new(Rows::new(repo.clone())), Arc::new(Smtp::new(live)?), settings.rules());
    let sms = Outbox::new(Arc::new(Rows::new(repo.clone())), texter, settings.sms_rules());
    let pushes = Outbox::new(Arc::new(Rows::new(repo.clone())), alerter, settings.push_rules());

    let sweepers = (emails.clone(), sms.clone(), pushes.clone());
    Ok(Service::new("notify")
        .grpc(NotifyServiceServer::new(Notifications::new(repo.clone())))
        .grpc(PushServiceServer::new(Devices::new(repo)))
        .listen::<OrderPlaced>(teller.clone())
        .listen::<OrderCancelled>(teller.clone())
        .listen::<OrderPaid>(teller.clone())
        .listen::<OrderReady>(teller.clone())
        .listen::<PaymentRefunded>(teller)
        .listen::<PhoneCodeRequested>(codes)
        .listen::<EmailQueued>(Postman::new(emails))
        .listen::<SmsQueued>(Postman::new(sms))
        .listen::<PushQueued>(Postman::new(pushes))
        .every(settings.sweep(), move |call| {
            let (emails, sms, pushes) = sweepers.clone();
            async move {
                let (emails, sms, pushes) =
                    tokio::join!(emails.sweep(&call), sms.sweep(&call), pushes.sweep(&call));
                emails.and(sms).and(pushes)
            }
        }))
}
