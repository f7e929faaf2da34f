//! Storage for every service: the only one that opens PostgreSQL. Entities travel as protobuf bytes; their annotations
//! are the tables. There is no code for an entity in here.

mod api;
mod caller;
mod check;
mod commit;
mod database;
mod failure;
mod history;
mod measure;
mod migrate;
mod persist;
mod plan;
mod query;
mod reads;
mod relay;
mod replay;
mod replica;
mod schema;
mod snapshot;
mod sql;
mod sweep;
pub mod testing;
mod transaction;
mod value;

use std::sync::Arc;
use std::time::Duration;

use artel_handle::{CancellationToken, Host, Service, Shape};
use artel_proto::persist::persist_service_server::PersistServiceServer;
use artel_queue::{Publisher, Topology};

use crate::api::Api;
use crate::persist::Persist;
use crate::relay::Relay;
use crate::sweep::{sweep_keys, sweep_outbox};

pub use check::missing_migration;
pub use history::Bounds;
pub use migrate::{MigrateError, migrate};
pub use persist::{DEFAULTS, Settings};
pub use plan::PlanError;
pub use relay::Broker;

/// The section `[persist]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// The service `persist`.
///
/// # Errors
/// Where the configuration is wrong, or the database does not fit the entities or does not keep workspaces apart.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let settings = host.settings::<Settings>()?.get();
    let persist = Arc::new(Persist::open(&settings).await?);
    let publisher = Publisher::connect(&host.broker()?, &Topology::default());
    let relay = Relay::of(&persist, publisher, &settings);
    let (sealer, history) = (persist.sealer(&settings), Arc::clone(&persist.history));
    let (watched, keys, outbox) = (Arc::clone(&persist), persist.system.clone(), persist.system.clone());
    let sweeping = Duration::from_secs(settings.sweep_minutes * 60);
    Ok(Service::new("persist")
        .needs("postgres", persist.database.up())
        .grpc(PersistServiceServer::new(Api(persist)))
        .task(|stop| relay.run(stop))
        .task(|stop| until(stop, sealer.run()))
        .task(|stop| history.close(stop))
        .task(|stop| until(stop, watched.watch()))
        .every(sweeping, move |_| sweep_keys(keys.clone()))
        .every(sweeping, move |_| {
            sweep_outbox(outbox.clone(), settings.outbox_days, chrono::Utc::now().date_naive())
        }))
}

async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}
