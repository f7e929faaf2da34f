//! What can be ordered now: dishes in their categories, with prices, modifiers, and whether the kitchen can cook them at
//! this time of day.

mod api;
mod day;
mod domain;
mod edit;
mod error;
mod kitchen;
mod settings;
mod shown;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use artel_cache::Redis;
use artel_handle::{Host, Live, Service, Shape};
use artel_proto::menu::menu_service_server::MenuServiceServer;
use artel_repo::Repo;
use chrono::Utc;

use crate::api::Menu;
use crate::kitchen::{Kitchen, Robotics};
use crate::settings::Settings;
use crate::shown::{Clock, Shown};

pub use crate::settings::DEFAULTS;

/// The section `[menu]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `menu`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let redis = Redis::open(host.mesh().redis.reveal())?;
    let kitchen = Arc::new(Robotics::new(host.channel("robotics")));
    Ok(over(host.repo(), kitchen, redis, host.settings()?, Arc::new(Utc::now)))
}

/// The service over these surroundings.
fn over(
    repo: Repo,
    kitchen: Arc<dyn Kitchen>,
    redis: Redis,
    settings: Live<Settings>,
    clock: Clock,
) -> Service {
    let shown = Shown::new(repo.clone(), Arc::clone(&kitchen), redis, settings.clone(), Arc::clone(&clock));
    Service::new("menu").grpc(MenuServiceServer::new(Menu { repo, kitchen, shown, settings, clock }))
}
