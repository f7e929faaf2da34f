//! A service's place in Consul: taken when it listens, held while it runs, given back before it leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use artel_discovery::{Consul, Registration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::settings::{Version, Versions};

/// How often it is looked whether Consul still knows us: an agent that restarts may not.
const LOOK: Duration = Duration::from_secs(5);
/// The longest value of a service's metadata that is sent; keys and versions are ASCII.
const LONGEST: usize = 500;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Registers a copy and keeps it registered, with the versions of its configuration, until the service drains; then takes
/// it out.
pub(crate) async fn hold(
    consul: Consul,
    mut registration: Registration,
    mut versions: watch::Receiver<Versions>,
    mut degraded: watch::Receiver<String>,
    draining: CancellationToken,
) {
    let (id, name) = (registration.id.clone(), registration.name.clone());
    let keep = async {
        let mut pause = FIRST_PAUSE;
        let own = registration.meta.clone();
        let mut told = false;
        loop {
            let mut meta = own.clone();
            meta.extend(said(&registration.name, &versions.borrow_and_update()));
            let without = degraded.borrow_and_update().clone();
            if !without.is_empty() {
                meta.insert("degraded".to_owned(), without);
            }
            told &= registration.meta == meta;
            registration.meta = meta;
            let known = if told { consul.knows(&registration.id).await } else { Ok(false) };
            let held = match known {
                Ok(true) => Ok(()),
                Ok(false) => consul.register(&registration).await.inspect(|()| {
                    tracing::info!(service = registration.name, address = %registration.address, "registered");
                }),
                Err(error) => Err(error),
            };
            match held {
                Ok(()) => {
                    (pause, told) = (FIRST_PAUSE, true);
                    tokio::select! {
                        () = changed(&mut versions) => {}
                        () = changed(&mut degraded) => {}
                        () = tokio::time::sleep(LOOK) => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(service = registration.name, %error, "not registered yet");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    };
    tokio::select! {
        () = draining.cancelled() => {}
        () = keep => {}
    }
    match consul.deregister(&id).await {
        Ok(()) => tracing::info!(service = name, "out of Consul"),
        Err(error) => {
            tracing::warn!(service = name, %error, "still in Consul; its check will fail")
        }
    }
}

/// What a service says of its configuration: the version of its own section and of the one that all share, what it
/// refused, and what waits for a restart.
fn said(service: &str, versions: &Versions) -> BTreeMap<String, String> {
    let of = |section: &str| versions.get(section).cloned().unwrap_or_default();
    let sections = [(service, of(service)), ("mesh", of("mesh"))];
    let taken = |version: &Version| Some(version.taken.clone()).filter(|taken| !taken.is_empty());
    let mut said = BTreeMap::new();
    for (key, (_, version)) in ["config", "config_mesh"].into_iter().zip(&sections) {
        said.insert(key.to_owned(), taken(version).unwrap_or_else(|| "0".to_owned()));
    }
    let refused = sections.iter().filter_map(|(section, version)| {
        version.refused.as_ref().map(|refused| format!("{section} {refused}"))
    });
    let waiting = sections.iter().flat_map(|(section, version)| {
        version.after_restart.iter().map(move |key| format!("{section}.{key}"))
    });
    let lists =
        [("config_refused", refused.collect::<Vec<_>>()), ("config_after_restart", waiting.collect())];
    for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        // Consul takes 512 bytes.
        said.insert(key.to_owned(), list.join(", ").chars().take(LONGEST).collect());
    }
    said
}

/// Waits for the next change; never ends where there can be none any more.
async fn changed<T>(of: &mut watch::Receiver<T>) {
    if of.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What a copy that listens there tells Consul.
pub(crate) fn of(service: &'static str, address: SocketAddr, check_every: Duration) -> Registration {
    let meta = BTreeMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("pid".to_owned(), std::process::id().to_string()),
    ]);
    Registration {
        id: format!("{service}-{address}").replace([':', '[', ']'], "-"),
        name: service.to_owned(),
        address,
        meta,
        check_every,
    }
}
