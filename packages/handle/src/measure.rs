//! Rate, errors and duration of every method, and one log line for what went wrong.

use std::future::Future;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use artel_client::Call;
use artel_trace::{Kind, Span, Trace};
use http::{HeaderName, Response};
use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;
use tonic::Code;
use tonic::body::Body;
use tracing::Instrument as _;

use crate::admission::Class;
use crate::exemplars;
use crate::methods::Method;

static STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How many codes gRPC has.
const CODES: usize = 17;

/// The upper bounds of every histogram of seconds.
pub(crate) const BUCKETS: [f64; 12] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Statements are quicker than calls.
const STATEMENTS: &str = "artel_persist_statement_seconds";
const STATEMENT_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Commits in one transaction.
const GROUPS: &str = "artel_persist_group_commits";
const GROUP_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

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
        .set_buckets_for_metric(Matcher::Full(GROUPS.into()), &GROUP_BUCKETS)?
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

/// What is counted of a method. Its handles are looked up once: doing it for each call costs more than the counting.
pub(crate) struct Meter {
    service: &'static str,
    method: &'static str,
    handles: OnceLock<Handles>,
}

struct Handles {
    seconds: Histogram,
    in_flight: Gauge,
    codes: [OnceLock<Counter>; CODES],
}

impl Meter {
    pub(crate) fn new(service: &'static str, method: &'static str) -> Self {
        Self { service, method, handles: OnceLock::new() }
    }

    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| Handles {
            seconds: metrics::histogram!("artel_request_seconds", "service" => self.service, "method" => self.method),
            in_flight: metrics::gauge!("artel_requests_in_flight", "service" => self.service),
            codes: Default::default(),
        })
    }

    fn answered(&self, code: Code, took: Duration, trace: Option<&Trace>) {
        let (handles, took) = (self.handles(), took.as_secs_f64());
        handles.seconds.record(took);
        if let Some(trace) = trace {
            exemplars::note(self.service, self.method, took, trace);
        }
        let counter = handles.codes[code as usize].get_or_init(|| {
            let (service, method, code) = (self.service, self.method, format!("{code:?}"));
            metrics::counter!("artel_requests_total", "service" => service, "method" => method, "code" => code)
        });
        counter.increment(1);
    }
}

/// A request that is measured: its span is open and it counts as in flight.
pub(crate) struct Measured<'a> {
    method: &'a Method,
    begin: Instant,
    span: tracing::Span,
    step: Option<Span>,
    trace: Option<Trace>,
    in_flight: InFlight<'a>,
}

impl<'a> Measured<'a> {
    /// Opens the request's span.
    pub(crate) fn begin(
        service: &'static str,
        method: &'a Method,
        call: Option<&Call>,
        begin: Instant,
    ) -> Self {
        let span = tracing::info_span!(
            "request",
            service,
            method = method.name,
            trace = call.map(|call| call.trace.id()).unwrap_or_default(),
            caller = call.map_or("", |call| call.service.as_str()),
            request_id = call.and_then(|call| call.request_id.as_deref()),
            // Of a request that is part of nothing else its own name.
            correlation = call
                .filter(|call| call.correlation != call.request_id)
                .and_then(|call| call.correlation.as_deref())
        );
        let step = call.map(|call| {
            let mut step = Span::begin(service, &call.trace, Kind::Server, method.name);
            step.set("rpc.system", "grpc");
            if step.is_collected() && !call.service.is_empty() {
                step.set("artel.caller", call.service.clone());
            }
            step
        });
        let trace = call.map(|call| call.trace);
        Self { method, begin, span, step, trace, in_flight: InFlight::begin(&method.meter) }
    }

    /// Does the work within the span, and counts the request when it is answered.
    pub(crate) async fn of(self, work: impl Future<Output = Response<Body>>) -> Response<Body> {
        let Self { method, begin, span, step, trace, in_flight } = self;
        let response = work.instrument(span.clone()).await;
        drop(in_flight);
        let code = code(&response);
        if let Some(step) = step {
            step.answered(code);
        }
        let took = begin.elapsed();
        method.meter.answered(code, took, trace.as_ref());
        span.in_scope(|| tracing::debug!(?code, micros = took.as_micros(), "answered"));
        response
    }
}

/// Counts a request that was answered before it came to its handler.
pub(crate) fn refused(code: Code) {
    metrics::counter!("artel_requests_refused_total", "code" => format!("{code:?}")).increment(1);
}

/// Counts a request that was refused because there are too many.
pub(crate) fn shed(service: &'static str, method: &Method, class: Class) {
    let (name, class) = (method.name, class.name());
    metrics::counter!("artel_requests_shed_total", "service" => service, "method" => name, "class" => class)
        .increment(1);
    metrics::gauge!("artel_requests_limit", "service" => service, "method" => name)
        .set(method.lane.limit() as f64);
}

/// A failure stands in the headers; what went well says so after the body.
fn code(response: &Response<Body>) -> Code {
    response.headers().get(&STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

/// Counts up while it lives, also where the caller goes away: a request in hand.
struct InFlight<'a>(&'a Gauge);

impl<'a> InFlight<'a> {
    fn begin(meter: &'a Meter) -> Self {
        let gauge = &meter.handles().in_flight;
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
