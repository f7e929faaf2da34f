use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use artel_config::Config;
use artel_queue::{Publisher, Subscription, Topology};
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::authenticate::Gate;
use crate::host::Host;
use crate::service::Service;
use crate::stack::Stack;
use crate::{door, health, job, logs, measure, reflection, registration, traces};

/// How a service is made once its surroundings are known.
pub struct Blueprint {
    /// The service's name.
    pub name: &'static str,
    /// Makes it; reads its configuration, opens nothing that can wait.
    pub build: fn(Host) -> BoxFuture<'static, anyhow::Result<Service>>,
    /// Whether it may listen to events. One that may not need not be made to know that it doesn't: the catalogue of
    /// events is written without its surroundings.
    pub may_listen: bool,
}

/// Runs services in this process until it is told to stop (SIGTERM, Ctrl-C) or one of them fails; drains, then returns.
///
/// # Errors
/// Where the configuration is wrong or a service cannot start; nothing is registered then.
pub async fn serve(config: Config, blueprints: Vec<Blueprint>) -> anyhow::Result<()> {
    let draining = CancellationToken::new();
    let host = Host::open(config, draining).await?;
    // First, so that nothing that is counted while the process starts is lost.
    measure::prometheus()?;
    let process = if let [only] = &blueprints[..] { only.name } else { "artel" };
    let logs = logs::start(host.mesh(), process)?;
    let traces = traces::start(host.mesh())?;
    host.follow_mesh();
    let ended = serve_all(&host, blueprints).await;
    if let Err(error) = &ended {
        // Whoever started us reads it on standard error; this is for who reads logs elsewhere.
        tracing::error!(error = format!("{error:#}"), "ended");
    }
    traces.drain().await;
    logs.drain().await;
    ended
}

async fn serve_all(host: &Host, blueprints: Vec<Blueprint>) -> anyhow::Result<()> {
    let draining = host.draining().clone();
    // Everything is made before anything is opened to others.
    let mut services = Vec::new();
    for blueprint in blueprints {
        let service = (blueprint.build)(host.of(blueprint.name)).await;
        let service = service.with_context(|| format!("the service `{}` cannot start", blueprint.name))?;
        let allowed = blueprint.may_listen || service.listens().is_empty();
        anyhow::ensure!(
            allowed,
            "the service `{}` listens, and its blueprint says it may not",
            blueprint.name
        );
        services.push(service);
    }
    let mut running = JoinSet::new();
    for service in services {
        let host = host.of(service.name);
        running.spawn(async move {
            let name = service.name;
            let span = tracing::info_span!("service", service = name);
            let ended = run(service, host).instrument(span).await;
            ended.with_context(|| format!("the service `{name}` failed"))
        });
    }
    tokio::select! {
        () = told_to_stop() => tracing::info!("draining"),
        ended = running.join_next() => {
            // A service that ends by itself takes the process with it: whoever supervises starts it anew.
            draining.cancel();
            while running.join_next().await.is_some() {}
            return ended.map_or(Ok(()), |ended| ended?);
        }
    }
    draining.cancel();
    let ended: Vec<_> = running.join_all().await;
    ended.into_iter().collect()
}

pub(crate) async fn run(service: Service, host: Host) -> anyhow::Result<()> {
    let name = service.name;
    let draining = host.draining().clone();
    let listener = TcpListener::bind(&host.mesh().bind)
        .await
        .with_context(|| format!("cannot listen on {}", host.mesh().bind))?;
    let bound = listener.local_addr()?;

    let broker = host.broker()?;
    let queue = (!service.listeners.by_event.is_empty()).then(|| {
        let topology = Topology::default();
        let events = service.listeners.by_event.keys().copied().collect::<Vec<_>>();
        let mut subscription = Subscription::new(name, events);
        subscription.prefetch = host.mesh().listen_concurrency;
        let publisher = Publisher::connect(&broker, &topology);
        artel_queue::Listener::start(&broker, &topology, subscription, publisher, service.listeners)
    });

    let (reporter, health_service) = tonic_health::server::health_reporter();
    let mut wants = service.wants;
    wants.extend(queue.as_ref().map(|queue| ("events", queue.connected())));
    let (degraded, degraded_seen) = watch::channel(String::new());
    let report = health::report(reporter, name, service.needs, wants, degraded, draining.clone());
    let health = tokio::spawn(report);
    let mut work = JoinSet::new();
    for (period, job) in service.jobs {
        work.spawn(job::every(name, period, host.call(), job, draining.clone()));
    }
    for task in service.tasks {
        work.spawn(task(draining.clone()).instrument(tracing::info_span!("task", service = name)));
    }

    let grpc = service.grpc.limited(host.mesh().max_message_bytes).with_health(health_service);
    let grpc = reflection::beside(grpc);
    let (gate, bounds) = (Gate::of(&host), host.mesh().bounds());
    let stack = Stack::new(name, &grpc, service.http, gate, bounds)?;
    let close = CancellationToken::new();
    let streams = host.mesh().max_connection_streams;
    let mut server = tokio::spawn(door::serve(listener, stack, streams, close.clone()));

    let address = advertised(&host.mesh().advertise, bound)?;
    let check_every = Duration::from_millis(host.mesh().check_interval_ms);
    let registered = tokio::spawn(registration::hold(
        host.consul().clone(),
        registration::of(name, address, check_every),
        host.versions(),
        degraded_seen,
        draining.clone(),
    ));
    tracing::info!(service = name, %address, "serving");

    tokio::select! {
        () = draining.cancelled() => {}
        ended = &mut server => {
            draining.cancel();
            return ended.context("the server ended");
        }
    }
    // Out of Consul first, then a moment for everybody to hear of it, and only then the door is closed.
    let _ = registered.await;
    tokio::time::sleep(host.drain_grace()).await;
    close.cancel();
    let queue = async {
        if let Some(queue) = queue {
            queue.drain(host.drain_timeout()).await;
        }
    };
    let calls = async {
        if tokio::time::timeout(host.drain_timeout(), &mut server).await.is_err() {
            tracing::warn!(service = name, "calls cut off: they took longer than mesh.drain_timeout_ms");
            server.abort();
        }
    };
    let own = async {
        let ended = async { while work.join_next().await.is_some() {} };
        if tokio::time::timeout(host.drain_timeout(), ended).await.is_err() {
            tracing::warn!(service = name, "jobs cut off: they took longer than mesh.drain_timeout_ms");
        }
    };
    tokio::join!(queue, calls, own);
    health.abort();
    tracing::info!(service = name, "drained");
    Ok(())
}

/// Where others reach a service that is bound there.
fn advertised(advertise: &str, bound: SocketAddr) -> anyhow::Result<SocketAddr> {
    if advertise.is_empty() {
        return if bound.ip().is_unspecified() {
            Ok(SocketAddr::new(own_address()?, bound.port()))
        } else {
            Ok(bound)
        };
    }
    let ip: IpAddr = advertise
        .parse()
        .with_context(|| format!("mesh.advertise must be an IP address, is `{advertise}`"))?;
    Ok(SocketAddr::new(ip, bound.port()))
}

/// The address this machine would reach others from, for a service bound to all of them (in a container, its own).
fn own_address() -> anyhow::Result<IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // Nothing is sent: connecting a datagram socket only picks the route.
    socket.connect("192.0.2.1:9").context("no route out; set mesh.advertise to this machine's IP address")?;
    Ok(socket.local_addr()?.ip())
}

/// Returns when the process is told to stop: SIGTERM or Ctrl-C.
pub async fn told_to_stop() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
