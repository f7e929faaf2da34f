//! Orders: of the shop, placed at the price and stock of the moment, and of dishes, which are paid, cooked and called on
//! the board in the hall. What happens to one is told by events.

mod api;
mod board;
mod dining;
mod domain;
mod error;
mod place;
mod settings;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use artel_handle::{Host, Live, Service, Shape};
use artel_proto::billing::PaymentRefunded;
use artel_proto::order::dining_service_server::DiningServiceServer;
use artel_proto::order::order_service_server::OrderServiceServer;
use artel_proto::robotics::{OrderPreparing, OrderReady};

use crate::api::Orders;
use crate::board::{Hub, Log};
use crate::dining::{Course, Kitchen, News, Sweeper, Tables, Waiter};
use crate::settings::Settings;

/// The documented defaults of the section `[order]`.
pub const DEFAULTS: &str = include_str!("../config.toml");
/// The section, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// How often orders that were not paid, or not taken, are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(3600);

/// The service `order`.
///
/// # Errors
/// Where its section of the configuration is wrong.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings: Live<Settings> = host.settings()?;
    let repo = host.repo();
    let log = Log::new(repo.clone());
    let course = Course::new(repo.clone(), log.clone());
    let news = News::new(course.clone());
    let hub = Hub::new(repo.clone(), log.clone(), host.call(), settings.clone(), host.draining().clone());
    let hub = Arc::new(hub);
    let tables = Tables {
        kitchen: Kitchen::new(repo.clone(), host.channel("menu"), settings.clone()),
        repo: repo.clone(),
        course: course.clone(),
        hub: Arc::clone(&hub),
    };
    let waiter = Waiter::new(repo.clone(), course, settings.clone());
    let (expirer, clearer) = (waiter.clone(), waiter);
    let sweeper = Sweeper::new(repo.clone(), log, settings);
    Ok(Service::new("order")
        .grpc(OrderServiceServer::new(Orders::new(repo)))
        .grpc(DiningServiceServer::new(tables))
        .http(board::router(Arc::clone(&hub)))
        .listen::<OrderPreparing>(news.clone())
        .listen::<OrderReady>(news.clone())
        .listen::<PaymentRefunded>(news)
        .task(|draining| hub.run(draining))
        .every(LOOK, move |call| {
            let waiter = expirer.clone();
            async move { waiter.expire(&call).await }
        })
        .every(LOOK, move |call| {
            let waiter = clearer.clone();
            async move { waiter.clear(&call).await }
        })
        .every(SWEEP, move |call| {
            let sweeper = sweeper.clone();
            async move { sweeper.sweep(&call).await }
        }))
}
