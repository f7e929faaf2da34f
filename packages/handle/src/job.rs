//! Work that a service does by itself from time to time.

use std::sync::Arc;
use std::time::Duration;

use artel_client::{Call, Trace};
use artel_trace::{Kind, Span};
use artel_util::Error;
use futures::future::BoxFuture;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// A job: gets the service's own call, done again after its period. It must bear being done twice at once, by another
/// copy of the service.
pub type Job = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<(), Error>> + Send + Sync>;

/// Does the job every period until the service drains; the first time a period after the start.
pub(crate) async fn every(
    name: &'static str,
    period: Duration,
    call: Call,
    job: Job,
    draining: CancellationToken,
) {
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = draining.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let mut call = call.clone();
        call.deadline = std::time::Instant::now().checked_add(period.max(Duration::from_secs(10)));
        // Each run is a trace of its own.
        call.trace = Trace::start();
        let step = Span::begin(name, &call.trace, Kind::Internal, "job");
        let span = tracing::info_span!("job", service = name, trace = call.trace.id());
        let begin = Instant::now();
        let outcome = async {
            match job(call).await {
                Ok(()) => "ok",
                Err(error) => {
                    tracing::warn!(%error, "a job failed; it is tried again after its period");
                    "failed"
                }
            }
        };
        let outcome = outcome.instrument(span).await;
        if outcome == "ok" {
            step.done()
        } else {
            step.failed(outcome)
        }
        metrics::histogram!("artel_job_seconds", "service" => name).record(begin.elapsed());
        metrics::counter!("artel_jobs_total", "service" => name, "outcome" => outcome).increment(1);
    }
}
