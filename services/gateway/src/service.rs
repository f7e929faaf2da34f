//! The gateway as a service of the mesh.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use artel_discovery::Instances;
use artel_handle::{CancellationToken, Host, Live, Mesh, Service};
use artel_proto::annotations;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::GatewayConfig;
use crate::control::ControlPlane;
use crate::limiter::Limiter;
use crate::pages;
use crate::surface::{GATEWAY, Surface};

/// The service.
///
/// # Errors
/// Where the configuration is wrong, the contracts cannot be put on the map, or the control plane's port is taken.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let live = host.settings::<GatewayConfig>()?;
    let config = live.get().collected_by(host.mesh());
    let limiter = Limiter::open(live.clone(), host.mesh().redis.reveal())?;
    let control = Arc::new(ControlPlane::new(Surface::read(annotations::pool())?, &config, limiter));
    let listener = TcpListener::bind(config.xds_bind)
        .await
        .with_context(|| format!("gateway.xds_bind: cannot listen on {}", config.xds_bind))?;
    let grace = Duration::from_millis(host.mesh().drain_grace_ms);

    let ready = watch::Sender::new(false);
    let mut service = Service::new(GATEWAY).http(pages::router()?).needs("Consul", ready.subscribe());
    for name in control.hosts() {
        let (name, instances, control) = (name.clone(), host.consul().watch(name), control.clone());
        service = service.task(move |draining| follow(name, instances, control, draining, grace));
    }
    let (snapshots, following, mesh) = (control.snapshots(), control.clone(), host.mesh().clone());
    Ok(service
        .task(move |draining| reconfigure(live, mesh, following, draining))
        .task(move |draining| say_when_ready(snapshots, ready, draining))
        .task(move |draining| serve(control, listener, draining, grace)))
}

/// Learns where a service is. Services of the same process drain with us: that they leave must still be told.
async fn follow(
    name: String,
    mut instances: Instances,
    control: Arc<ControlPlane>,
    draining: CancellationToken,
    grace: Duration,
) {
    let learn = async {
        loop {
            let known = instances.borrow_and_update().clone();
            if let Some(known) = known {
                control.learn(&name, known.iter().map(|instance| instance.address).collect::<BTreeSet<_>>());
            }
            if instances.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = learn => {}
        () = after(&draining, grace) => {}
    }
}

/// Takes what an operator changes.
async fn reconfigure(
    mut live: Live<GatewayConfig>,
    mesh: Mesh,
    control: Arc<ControlPlane>,
    draining: CancellationToken,
) {
    let follow = async {
        loop {
            let config = live.changed().await.collected_by(&mesh);
            control.configure(&config);
        }
    };
    draining.run_until_cancelled(follow).await;
}

/// Ready is who knows of every service where it is, or that it is nowhere.
async fn say_when_ready<T>(
    mut snapshots: watch::Receiver<Option<T>>,
    ready: watch::Sender<bool>,
    draining: CancellationToken,
) {
    let known = async { snapshots.wait_for(Option::is_some).await.is_ok() };
    if draining.run_until_cancelled(known).await == Some(true) {
        ready.send_replace(true);
        // Held until the end: whoever asks after us must find an answer.
        draining.cancelled().await;
    }
}

async fn serve(
    control: Arc<ControlPlane>,
    listener: TcpListener,
    draining: CancellationToken,
    grace: Duration,
) {
    let stop = CancellationToken::new();
    let _end = stop.clone().drop_guard();
    tokio::select! {
        ended = control.serve(listener, stop) => {
            if let Err(error) = ended {
                tracing::error!(%error, "Envoy gets no configuration any more");
            }
        }
        () = after(&draining, grace) => {}
    }
}

/// The end of the moment that is left to tell Envoy who leaves.
async fn after(draining: &CancellationToken, grace: Duration) {
    draining.cancelled().await;
    tokio::time::sleep(grace).await;
}
