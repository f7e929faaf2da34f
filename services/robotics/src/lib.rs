//! The kitchen: ingredients that payments set aside and orders are cooked from.
//!
//! Stock is taken under a floor of zero, all that an order takes in one commit with the reservation that says so.

mod api;
mod domain;
mod error;
mod reserve;
mod stock;

#[cfg(test)]
mod tests;

use artel_handle::{Host, Service};
use artel_proto::robotics::robotics_service_server::RoboticsServiceServer;

use crate::api::Robotics;

/// The service `robotics`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("robotics").grpc(RoboticsServiceServer::new(Robotics::new(host.repo()))))
}
