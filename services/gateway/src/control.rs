//! The control plane as a whole: it learns where services are and tells every Envoy.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;

use crate::authz::RequestCheck;
use crate::catalogue::Catalogue;
use crate::config::GatewayConfig;
use crate::limiter::Limiter;
use crate::reflection;
use crate::surface::{GATEWAY, Surface};
use crate::xds::{DiscoveryServer, Snapshot};

/// What the gateway knows, as a snapshot that is replaced when it learns more.
#[derive(Debug)]
pub struct ControlPlane {
    surface: Surface,
    max_body_bytes: u32,
    limiter: Limiter,
    hosts: BTreeSet<String>,
    state: Mutex<(Catalogue, Snapshot)>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
}

impl ControlPlane {
    /// A control plane that knows the contracts and no instance yet.
    #[must_use]
    pub fn new(surface: Surface, config: &GatewayConfig, limiter: Limiter) -> Self {
        let snapshot = Snapshot::build(&surface, config);
        let hosts = surface.hosts();
        Self {
            surface,
            max_body_bytes: config.max_body_bytes,
            limiter,
            hosts,
            state: Mutex::new((Catalogue::default(), snapshot)),
            snapshots: watch::Sender::new(None),
        }
    }

    /// The names in Consul of the services to watch.
    #[must_use]
    pub fn hosts(&self) -> &BTreeSet<String> {
        &self.hosts
    }

    /// Learns where a service is now. Envoys are told at once, but nothing before something is known of every service:
    /// a gateway that has just started would close doors that are open.
    pub fn learn(&self, service: &str, instances: BTreeSet<SocketAddr>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (catalogue, snapshot) = &mut *state;
        let count = instances.len();
        if !catalogue.set(service, instances) {
            return;
        }
        metrics::gauge!("gateway_instances", "service" => service.to_owned())
            .set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        tracing::info!(service, count, "instances changed");
        if service == GATEWAY {
            self.limiter.learn_gateways(count);
        }
        snapshot.locate(catalogue);
        self.tell(catalogue, snapshot);
    }

    /// Takes a configuration of which what may change while Envoy runs has changed.
    pub fn configure(&self, config: &GatewayConfig) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (catalogue, snapshot) = &mut *state;
        *snapshot = Snapshot::build(&self.surface, config);
        snapshot.locate(catalogue);
        self.tell(catalogue, snapshot);
    }

    fn tell(&self, catalogue: &Catalogue, snapshot: &Snapshot) {
        if catalogue.covers(&self.hosts) {
            self.snapshots.send_replace(Some(Arc::new(snapshot.clone())));
        }
    }

    /// What Envoys are told now; `None` before enough is known.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.subscribe()
    }

    /// Serves Envoys until `stop`: their configuration, the check of requests, their limits, and reflection for the
    /// world.
    ///
    /// # Errors
    /// When the listener fails, or the descriptors contradict themselves.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) -> Result<(), ControlError> {
        // The builder's own setting is for sockets that it opens itself.
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(Duration::from_secs(10)))
            .http2_keepalive_timeout(Some(Duration::from_secs(5)))
            .add_service(DiscoveryServer::new(self.snapshots(), stop.clone()).into_service())
            .add_service(RequestCheck::new(&self.surface, self.max_body_bytes).into_service())
            .add_service(self.limiter.clone().into_service())
            .add_service(reflection::builder(&self.surface)?.build_v1()?)
            .add_service(reflection::builder(&self.surface)?.build_v1alpha()?)
            .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
            .await?;
        Ok(())
    }
}

/// Why Envoys are served no more.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The listener failed.
    #[error("the control plane cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// The descriptors contradict themselves.
    #[error("the contracts cannot be reflected: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}
