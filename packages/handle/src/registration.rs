//! A service's place in Consul: taken when it listens, held while it runs, given back before it leaves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use artel_discovery::{Consul, Registration};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether Consul still knows us: an agent that restarts may not.
const LOOK: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Registers a copy and keeps it registered until the service drains; then takes it out.
pub(crate) async fn hold(consul: Consul, registration: Registration, draining: CancellationToken) {
    let keep = async {
        let mut pause = FIRST_PAUSE;
        loop {
            let known = consul.knows(&registration.id).await;
            let held = match known {
                Ok(true) => Ok(()),
                Ok(false) => consul.register(&registration).await.inspect(|()| {
                    tracing::info!(service = registration.name, address = %registration.address, "registered");
                }),
                Err(error) => Err(error),
            };
            match held {
                Ok(()) => {
                    pause = FIRST_PAUSE;
                    tokio::time::sleep(LOOK).await;
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
    match consul.deregister(&registration.id).await {
        Ok(()) => tracing::info!(service = registration.name, "out of Consul"),
        Err(error) => {
            tracing::warn!(service = registration.name, %error, "still in Consul; its check will fail")
        }
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
