//! Every service there is, by name.

use artel_handle::Blueprint;
use futures::FutureExt as _;

macro_rules! services {
    ($($name:literal: $make:path,)*) => {
        /// What `artel serve` takes.
        pub(crate) const NAMES_OR_ALL: [&str; 1 + [$($name),*].len()] = ["all", $($name),*];

        /// The blueprint of every service.
        pub(crate) fn all() -> Vec<Blueprint> {
            vec![$(Blueprint {
                name: $name,
                build: |host| $make(host).boxed(),
                // What it would hear comes out of its own database.
                may_listen: $name != "persist",
            }),*]
        }
    };
}

// `cargo xtask new service` adds to this list.
services! {
    "persist": artel_persist::service,
    "identity": artel_identity::service,
    "catalog": artel_catalog::service,
    "order": artel_order::service,
    "menu": artel_menu::service,
    "robotics": artel_robotics::service,
    "bonus": artel_bonus::service,
    "billing": artel_billing::service,
    "statistics": artel_statistics::service,
    "notify": artel_notify::service,
    "webhook": artel_webhook::service,
    "gateway": artel_gateway::service,
}

/// The blueprints of the services named; `all` names every one.
pub(crate) fn blueprints(names: &[String]) -> Vec<Blueprint> {
    all()
        .into_iter()
        .filter(|service| names.iter().any(|name| name == "all" || name == service.name))
        .collect()
}
