//! Where the instances of each service are: what Consul says, as Envoy can use it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The passing instances of each service at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    services: BTreeMap<String, BTreeSet<SocketAddr>>,
}

impl Catalogue {
    /// Sets where a service is. True when that is news.
    pub fn set(&mut self, service: &str, instances: BTreeSet<SocketAddr>) -> bool {
        self.services.insert(service.to_owned(), instances.clone()) != Some(instances)
    }

    /// Every service that something was said of, and where it is.
    pub fn services(&self) -> impl Iterator<Item = (&String, &BTreeSet<SocketAddr>)> {
        self.services.iter()
    }

    /// Whether something was said of each of these services. Until then no Envoy is told anything: a gateway that has
    /// just started would close every door that is open.
    #[must_use]
    pub fn covers(&self, services: &BTreeSet<String>) -> bool {
        services.iter().all(|service| self.services.contains_key(service))
    }
}
