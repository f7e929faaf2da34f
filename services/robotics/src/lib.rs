//! The kitchen: ingredients, recipes, and the robot line that cooks paid orders.

use artel_handle::{Host, Service};

/// The service `robotics`.
///
/// # Errors
/// None today; the signature is that of every service.
pub async fn service(_host: Host) -> anyhow::Result<Service> {
    Ok(Service::new("robotics"))
}
