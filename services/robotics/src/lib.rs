//! The kitchen: ingredients that payments set aside, and the cooking of paid orders by the robot line.
//!
//! Stock is taken under a floor of zero, all that an order takes in one commit with the reservation that says so. A paid
//! order becomes one cooking job, which the line knows by its id; the board is told when the line begins and when it is
//! ready.

mod api;
mod cooking;
mod domain;
mod error;
mod line;
mod reserve;
mod settings;
mod stock;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::order::OrderPaid;
use artel_proto::robotics::robotics_service_server::RoboticsServiceServer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::api::Robotics;
use crate::cooking::{Accept, Cook, follow};
use crate::line::{HttpLine, RobotLine};
use crate::settings::Settings;

pub use crate::settings::DEFAULTS;

/// The section `[robotics]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// Jobs that wait to be handed over right after they were accepted; more are found when their time comes.
const MOST_WAITING: usize = 1_000;

/// The service `robotics`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let live: Live<Settings> = host.settings()?;
    let settings = live.get();
    let repo = host.repo();
    let line: Arc<dyn RobotLine> = Arc::new(HttpLine::new(&settings)?);
    let cook = Cook::new(repo.clone(), Arc::clone(&line), settings.pauses());
    let (hand, accepted) = mpsc::channel(MOST_WAITING);
    let (hander, sweeper) = (cook.clone(), cook.clone());
    let (call, wait) = (host.call(), settings.line_waits());
    Ok(Service::new("robotics")
        .grpc(RoboticsServiceServer::new(Robotics::new(repo.clone())))
        .listen::<OrderPaid>(Accept::new(repo, hand))
        .task(move |draining| async move {
            let handing = hander.hand(ReceiverStream::new(accepted));
            draining.run_until_cancelled(handing).await;
        })
        .task(move |draining| async move {
            draining.run_until_cancelled(follow(line, cook, call, wait)).await;
        })
        .every(settings.sweep(), move |call| {
            let sweeper = sweeper.clone();
            async move { sweeper.sweep(&call).await }
        }))
}
