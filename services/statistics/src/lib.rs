//! Numbers of a restaurant, from the events about its orders: one row an order, filled in whatever order the events come,
//! and reports that are counted from the rows each time somebody asks.

mod api;
mod error;
mod facts;
mod listen;
mod recent;
mod report;
mod settings;
#[cfg(test)]
mod tests;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::billing::PaymentRefunded;
use artel_proto::order::{OrderPaid, OrderPlaced};
use artel_proto::robotics::{OrderPreparing, OrderReady};
use artel_proto::statistics::statistics_service_server::StatisticsServiceServer;

use crate::api::Numbers;
use crate::listen::Clerk;
use crate::settings::Settings;

/// The documented defaults of the section `[statistics]`.
pub const DEFAULTS: &str = include_str!("../config.toml");
/// The section, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `statistics`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings: Live<Settings> = host.settings()?;
    let clerk = Clerk::new(host.repo());
    Ok(Service::new("statistics")
        .grpc(StatisticsServiceServer::new(Numbers::new(host.repo(), settings)))
        .listen::<OrderPlaced>(clerk.clone())
        .listen::<OrderPaid>(clerk.clone())
        .listen::<OrderPreparing>(clerk.clone())
        .listen::<OrderReady>(clerk.clone())
        .listen::<PaymentRefunded>(clerk))
}
