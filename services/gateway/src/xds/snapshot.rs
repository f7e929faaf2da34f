//! One consistent picture of everything that Envoy is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};
use sha2::{Digest, Sha256};

use super::{clusters, endpoints, listener, pack, routes, spans, tls};
use crate::catalogue::Catalogue;
use crate::config::GatewayConfig;
use crate::surface::Surface;

/// A kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// Services.
    Cluster,
    /// Where a service's instances are.
    Endpoint,
    /// What Envoy proves itself with.
    Secret,
    /// Where Envoy listens, and through which filters.
    Listener,
    /// Which path goes to which service.
    Route,
}

impl ResourceType {
    /// The order in which changes are told, so that nothing points to what is not there yet.
    pub const ORDER: [Self; 5] = [Self::Cluster, Self::Endpoint, Self::Secret, Self::Listener, Self::Route];

    /// Its type URL.
    #[must_use]
    pub fn url(self) -> &'static str {
        match self {
            Self::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            Self::Endpoint => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            Self::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            Self::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            Self::Route => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        }
    }

    /// The kind of a type URL; `None` for one that the gateway has nothing of.
    #[must_use]
    pub fn of(url: &str) -> Option<Self> {
        Self::ORDER.into_iter().find(|kind| kind.url() == url)
    }

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Secret => "secret",
            Self::Listener => "listener",
            Self::Route => "route",
        }
    }
}

/// A resource and which edition of it this is.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Changes when, and only when, the resource does; the same in every gateway and after every restart.
    pub version: String,
    /// The resource.
    pub body: Any,
}

impl Resource {
    /// A resource whose bytes say everything.
    pub(crate) fn new<M: Message + Name>(message: &M) -> Self {
        let body = pack::any(message);
        Self { version: digest(&[&body.value]), body }
    }

    /// A resource that follows from the contracts and the configuration alone. Maps in it are encoded in any order, so
    /// the digest is over what it was made from, and over its bytes regardless of their order for changes of the code.
    pub(crate) fn derived<M: Message + Name>(message: &M, from: &[&[u8]]) -> Self {
        let body = pack::any(message);
        let mut bytes = body.value.clone();
        bytes.sort_unstable();
        let parts: Vec<&[u8]> = from.iter().copied().chain([bytes.as_slice()]).collect();
        Self { version: digest(&parts), body }
    }
}

/// What listeners and clusters are made from, and what routes are. What changes while Envoy runs is in routes alone, and
/// of the limits only whether there are any: a listener that is told anew closes its connections.
fn settings(config: &GatewayConfig) -> (Vec<u8>, Vec<u8>) {
    let mut settings = serde_json::to_value(config).unwrap_or_default();
    let Some(keys) = settings.as_object_mut() else { return Default::default() };
    keys.remove("limits");
    let origins = keys.remove("cors_origins").unwrap_or_default();
    let lasting = settings.to_string();
    let of_routes = format!("{lasting} {origins} {}", config.limits.on);
    (lasting.into_bytes(), of_routes.into_bytes())
}

fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..8])
}

/// Every resource there is at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    kinds: BTreeMap<ResourceType, BTreeMap<String, Arc<Resource>>>,
}

impl Snapshot {
    /// Makes everything that follows from the contracts and the configuration. A service whose last instance leaves
    /// keeps its cluster and its routes: taking them away would cut the calls that are still under way.
    #[must_use]
    pub fn build(surface: &Surface, config: &GatewayConfig) -> Self {
        let mut snapshot = Self::default();
        let (settings, of_routes) = settings(config);
        let from: [&[u8]; 2] = [&settings, artel_proto::DESCRIPTORS];
        for host in surface.hosts() {
            let cluster = clusters::service(&host, config);
            snapshot.put(ResourceType::Cluster, &host, Resource::derived(&cluster, &from));
        }
        for host in surface.streaming_hosts() {
            let cluster = clusters::streams(&host, config);
            snapshot.put(ResourceType::Cluster, &cluster.name, Resource::derived(&cluster, &from));
        }
        let edge = clusters::edge(config);
        snapshot.put(ResourceType::Cluster, clusters::EDGE, Resource::derived(&edge, &from));
        if let Some(collector) = &config.collector {
            let cluster = spans::cluster(collector, config);
            snapshot.put(ResourceType::Cluster, spans::NAME, Resource::derived(&cluster, &from));
        }
        for listener in listener::build(surface, config) {
            snapshot.put(ResourceType::Listener, &listener.name, Resource::derived(&listener, &from));
        }
        if config.tls_bind().is_some() {
            snapshot.put(ResourceType::Secret, tls::NAME, Resource::new(&tls::secret(config)));
        }
        let routes = routes::build(surface, config);
        let from: [&[u8]; 2] = [&of_routes, artel_proto::DESCRIPTORS];
        snapshot.put(ResourceType::Route, routes::NAME, Resource::derived(&routes, &from));
        snapshot
    }

    /// Sets where the services of the catalogue are.
    pub fn locate(&mut self, catalogue: &Catalogue) {
        for (service, instances) in catalogue.services() {
            let endpoints = endpoints::build(service, instances.iter().copied());
            self.put(ResourceType::Endpoint, service, Resource::new(&endpoints));
        }
    }

    /// Adds or replaces a resource.
    pub fn put(&mut self, kind: ResourceType, name: &str, resource: Resource) {
        self.kinds.entry(kind).or_default().insert(name.to_owned(), Arc::new(resource));
    }

    /// Takes a resource away.
    pub fn take(&mut self, kind: ResourceType, name: &str) {
        self.kinds.entry(kind).or_default().remove(name);
    }

    /// The resource of a name.
    #[must_use]
    pub fn get(&self, kind: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.kinds.get(&kind)?.get(name)
    }

    /// All resources of a kind, by name.
    pub fn all(&self, kind: ResourceType) -> impl Iterator<Item = (&String, &Arc<Resource>)> {
        self.kinds.get(&kind).into_iter().flatten()
    }
}
