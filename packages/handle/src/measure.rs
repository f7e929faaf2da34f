//! Rate, errors and duration of every method, and one log line for what went wrong.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_trace::{Kind, Span};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::access::Access;
use crate::exemplars;

/// The upper bounds of every histogram of seconds.
pub(crate) const BUCKETS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Statements are quicker than calls.
const STATEMENTS: &str = "artel_persist_statement_seconds";
const STATEMENT_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

const UPKEEP: Duration = Duration::from_secs(5);

static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();
/// Services of one process start at once, and the recorder can be installed once.
static INSTALL: Mutex<()> = Mutex::new(());

/// The process' metrics; installed when first asked for.
pub(crate) fn prometheus() -> anyhow::Result<&'static PrometheusHandle> {
    let _installing = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = PROMETHEUS.get() {
        return Ok(handle);
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(STATEMENTS.into()), &STATEMENT_BUCKETS)?
        .install_recorder()?;
    let upkeep = handle.clone();
    // What histograms were told is kept until somebody asks for it, or this sums it up.
    std::thread::Builder::new().name("metrics".into()).spawn(move || {
        loop {
            std::thread::sleep(UPKEEP);
            upkeep.run_upkeep();
        }
    })?;
    Ok(PROMETHEUS.get_or_init(|| handle))
}

/// Opens the request's span and counts it when it is answered.
pub(crate) async fn measure(State(service): State<&'static str>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = label(request.uri().path()).to_owned();
    let call = request.extensions().get::<Call>();
    let traced = call.map(|call| call.trace);
    let trace = call.map(|call| call.trace.id()).unwrap_or_default();
    let span = tracing::info_span!(
        "request",
        service,
        method,
        trace,
        caller = call.map_or("", |call| call.service.as_str())
    );
    let step = call.map(|call| {
        let mut step = Span::begin(service, &call.trace, Kind::Server, &method);
        step.set("rpc.system", "grpc");
        if !call.service.is_empty() {
            step.set("artel.caller", call.service.clone());
        }
        step
    });
    let in_flight = InFlight::begin(service);
    let response = next.run(request).instrument(span.clone()).await;
    drop(in_flight);
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    if let Some(step) = step {
        step.answered(code);
    }
    let labels = [("service", service.to_owned()), ("method", method), ("code", format!("{code:?}"))];
    metrics::counter!("artel_requests_total", &labels).increment(1);
    let took = begin.elapsed().as_secs_f64();
    metrics::histogram!("artel_request_seconds", &labels[..2]).record(took);
    if let Some(trace) = &traced {
        exemplars::note(service, &labels[1].1, took, trace);
    }
    span.in_scope(|| tracing::debug!(?code, micros = begin.elapsed().as_micros(), "answered"));
    response
}

/// A method's name in metrics. What is open to everybody is named without the method, which may be any word.
fn label(path: &str) -> &str {
    let method = path.trim_start_matches('/');
    match method.split_once('/') {
        Some((service, _)) if Access::is_open(path) => service,
        _ => method,
    }
}

/// Counts up while it lives, also where the caller goes away: a request in hand.
struct InFlight(metrics::Gauge);

impl InFlight {
    fn begin(service: &'static str) -> Self {
        let gauge = metrics::gauge!("artel_requests_in_flight", "service" => service);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_anybody_may_ask_makes_no_new_labels() {
        assert_eq!(label("/grpc.health.v1.Health/Anything"), "grpc.health.v1.Health");
        assert_eq!(label("/artel.order.v1.OrderService/GetOrder"), "artel.order.v1.OrderService/GetOrder");
    }

    #[test]
    fn services_that_start_at_once_share_one_recorder() {
        let begin = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        begin.wait();
                        prometheus().is_ok()
                    })
                })
                .collect();
            assert!(starting.into_iter().all(|thread| thread.join().unwrap()));
        });
    }
}
