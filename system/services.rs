//! Every service there is, by name.

use artel_handle::Blueprint;
use futures::FutureExt as _;

/// What `artel serve` takes.
pub(crate) const NAMES_OR_ALL: [&str; 7] = ["all", "persist", "identity", "catalog", "order", "notify", "gateway"];

/// The blueprints of the services named; `all` names every one.
pub(crate) fn blueprints(names: &[String]) -> Vec<Blueprint> {
    all().into_iter().filter(|service| names.iter().any(|name| name == "all" || name == service.name)).collect()
}

fn all() -> [Blueprint; 6] {
    [
        Blueprint { name: "persist", build: |host| artel_persist::service(host).boxed() },
        Blueprint { name: "identity", build: |host| artel_identity::service(host).boxed() },
        Blueprint { name: "catalog", build: |host| artel_catalog::service(host).boxed() },
        Blueprint { name: "order", build: |host| artel_order::service(host).boxed() },
        Blueprint { name: "notify", build: |host| artel_notify::service(host).boxed() },
        Blueprint { name: "gateway", build: |host| artel_gateway::service(host).boxed() },
    ]
}
