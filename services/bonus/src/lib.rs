//! Bonus points: earned with paid orders, held and spent by payments, given back with refunds.

use artel_handle::{Host, Service};

/// The service `bonus`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(_host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("bonus"))
}
