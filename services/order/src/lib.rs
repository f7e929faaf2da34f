//! Orders: placed at the price and stock of the moment, listed, cancelled. What happens to one is told by events.

mod api;
mod domain;
mod error;
mod place;

use artel_handle::{Host, Service};
use artel_proto::order::order_service_server::OrderServiceServer;

use crate::api::Orders;

/// The service `order`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("order").grpc(OrderServiceServer::new(Orders::new(host.repo()))))
}
