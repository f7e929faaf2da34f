//! Whether a service can do its work, as the gRPC health protocol tells it.

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::select_all;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Reports SERVING while everything the service needs is there and it does not drain.
pub(crate) async fn report(
    reporter: HealthReporter,
    service: &'static str,
    needs: Vec<(&'static str, watch::Receiver<bool>)>,
    draining: CancellationToken,
) {
    let mut changes = select_all(
        needs.iter().map(|(_, need)| WatchStream::new(need.clone()).map(drop).boxed()).collect::<Vec<_>>(),
    );
    let mut served = false;
    loop {
        let missing: Vec<&str> =
            needs.iter().filter(|(_, need)| !*need.borrow()).map(|(name, _)| *name).collect();
        let status = if missing.is_empty() { ServingStatus::Serving } else { ServingStatus::NotServing };
        match (missing.is_empty(), served) {
            (true, _) => served = true,
            // What is still missing at a start comes in a moment.
            (false, false) => tracing::info!(service, missing = missing.join(","), "not serving yet"),
            (false, true) => tracing::warn!(service, missing = missing.join(","), "not serving"),
        }
        set(&reporter, service, status).await;
        tokio::select! {
            () = draining.cancelled() => break,
            change = changes.next(), if !needs.is_empty() => {
                if change.is_none() {
                    break;
                }
            }
        }
    }
    draining.cancelled().await;
    set(&reporter, service, ServingStatus::NotServing).await;
}

/// Consul asks for the service by name; tools ask for the whole server, the empty name.
async fn set(reporter: &HealthReporter, service: &'static str, status: ServingStatus) {
    let serving = if matches!(status, ServingStatus::Serving) { 1.0 } else { 0.0 };
    metrics::gauge!("artel_serving", "service" => service).set(serving);
    join_all([service, ""].map(|name| reporter.set_service_status(name, status))).await;
}
