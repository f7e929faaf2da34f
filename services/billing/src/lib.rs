//! Money: payments as sagas over the kitchen, the points, the bank and the order; refunds; receipts.
//!
//! What has to hold, whatever dies and whenever: each captured payment is in the end one paid order or one refund, each has
//! its receipts, and money and points add up. The monitor counts what breaks it.

mod acquirer;
mod api;
mod domain;
mod error;
mod monitor;
mod outside;
mod payment;
mod printer;
mod receipts;
mod reconcile;
mod refund;
mod settings;

#[cfg(test)]
mod tests;

use std::time::Duration;

use artel_handle::{Host, Live, Service, Shape};
use artel_inbox::Inbox;
use artel_process::Engine;
use artel_proto::billing::ReceiptQueued;
use artel_proto::billing::billing_service_server::BillingServiceServer;
use artel_proto::webhook::WebhookReceived;

use crate::api::Billing;
use crate::monitor::Monitor;
use crate::payment::Payments;
use crate::receipts::Receipts;
use crate::reconcile::Reconciler;
use crate::refund::Refunds;
use crate::settings::Settings;

pub use crate::settings::DEFAULTS;

/// The section `[billing]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// How often sagas whose process died, receipts that wait and charges that nobody could tell of are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often the invariants are counted.
const WATCH: Duration = Duration::from_secs(10);

/// The service `billing`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings: Live<Settings> = host.settings()?;
    let settings = settings.get();
    let repo = host.repo();
    let (bank, printer) = (settings.acquirer.acquirer()?, settings.printer.printer()?);
    let payments = Payments::new(
        repo.clone(),
        host.channel("order"),
        host.channel("robotics"),
        host.channel("bonus"),
        bank.clone(),
    );
    let refunds = Refunds::new(repo.clone(), host.channel("bonus"), bank.clone());
    let draining = host.draining();
    let payments = Engine::new("billing", payments, repo.clone(), settings.rules(), draining.clone());
    let refunds = Engine::new("billing", refunds, repo.clone(), settings.rules(), draining.clone());
    let receipts = Receipts::new(repo.clone(), printer);
    let inbox = Inbox::new(host.channel("webhook"));
    let reconciler = Reconciler::new(repo.clone(), bank, inbox, settings.reconcile());
    let monitor = Monitor::new(repo.clone());
    let api = Billing {
        repo,
        payments: payments.clone(),
        refunds: refunds.clone(),
        monitor: monitor.clone(),
        answer: settings.answer(),
    };
    let (payments_left, refunds_left) = (payments.clone(), refunds.clone());
    let (printing, reconciling) = (receipts.clone(), reconciler.clone());
    Ok(Service::new("billing")
        .grpc(BillingServiceServer::new(api))
        .listen::<ReceiptQueued>(receipts)
        .listen::<WebhookReceived>(reconciler)
        .task(move |stop| payments.drain(stop))
        .task(move |stop| refunds.drain(stop))
        .every(LOOK, move |call| {
            let payments = payments_left.clone();
            async move { payments.take_over(&call).await }
        })
        .every(LOOK, move |call| {
            let refunds = refunds_left.clone();
            async move { refunds.take_over(&call).await }
        })
        .every(LOOK, move |call| {
            let receipts = printing.clone();
            async move { receipts.sweep(&call).await }
        })
        .every(LOOK, move |call| {
            let reconciler = reconciling.clone();
            async move { reconciler.sweep(&call).await }
        })
        .every(WATCH, move |call| {
            let monitor = monitor.clone();
            async move { monitor.watch(&call).await }
        }))
}
