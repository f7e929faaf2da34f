//! Money: payments as sagas over the kitchen, the points, the bank, the printer and the order; refunds; receipts.

#[allow(dead_code, unused_imports)]
mod acquirer;
#[allow(dead_code)]
mod outside;
#[allow(dead_code, unused_imports)]
mod printer;

use artel_handle::{Host, Service};

/// The service `billing`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(_host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("billing"))
}
