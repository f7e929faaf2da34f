//! What can be ordered now: categories and dishes with their prices, allergens and modifiers.

use artel_handle::{Host, Service};

/// The service `menu`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(_host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("menu"))
}
