//! Numbers of a restaurant, from the events about its orders.

use artel_handle::{Host, Service};

/// The service `statistics`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(_host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("statistics"))
}
