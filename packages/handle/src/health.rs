//! Whether a service can do its work, as the gRPC health protocol tells it.

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::select_all;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// What a service needs or wants, and whether it is there.
pub(crate) type There = Vec<(&'static str, watch::Receiver<bool>)>;

/// Reports SERVING while everything the service needs is there and it does not drain. What it only wants is reported
/// under a name of its own, `order/events`, and told to `degraded`: the service works on without it.
pub(crate) async fn report(
    reporter: HealthReporter,
    service: &'static str,
    needs: There,
    wants: There,
    degraded: watch::Sender<String>,
    draining: CancellationToken,
) {
    let mut changes = select_all(
        needs
            .iter()
            .chain(&wants)
            .map(|(_, there)| WatchStream::new(there.clone()).map(drop).boxed())
            .collect::<Vec<_>>(),
    );
    let mut served = false;
    loop {
        for (name, there) in &wants {
            let status = if *there.borrow() { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(format!("{service}/{name}"), status).await;
        }
        let without = missing(&wants);
        if degraded.send_if_modified(|before| std::mem::replace(before, without.clone()) != without) {
            let count = wants.iter().filter(|(_, there)| !*there.borrow()).count();
            metrics::gauge!("artel_degraded", "service" => service).set(count as f64);
            if !without.is_empty() && served {
                tracing::warn!(service, without, "works on without");
            }
        }
        let missing = missing(&needs);
        let status = if missing.is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
        match (missing.is_empty(), served) {
            (true, _) => served = true,
            // What is still missing at a start comes in a moment.
            (false, false) => tracing::info!(service, missing, "not serving yet"),
            (false, true) => tracing::warn!(service, missing, "not serving"),
        }
        set(&reporter, service, status).await;
        tokio::select! {
            () = draining.cancelled() => break,
            change = changes.next(), if !(needs.is_empty() && wants.is_empty()) => {
                if change.is_none() {
                    break;
                }
            }
        }
    }
    draining.cancelled().await;
    set(&reporter, service, ServingStatus::NotServing).await;
}

/// The names of what is not there, with commas between.
fn missing(of: &There) -> String {
    let missing = of.iter().filter(|(_, there)| !*there.borrow()).map(|(name, _)| *name);
    missing.collect::<Vec<_>>().join(", ")
}

/// Consul asks for the service by name; tools ask for the whole server, the empty name.
async fn set(reporter: &HealthReporter, service: &'static str, status: ServingStatus) {
    let serving = if matches!(status, ServingStatus::Serving) { 1.0 } else { 0.0 };
    metrics::gauge!("artel_serving", "service" => service).set(serving);
    join_all([service, ""].map(|name| reporter.set_service_status(name, status))).await;
}
