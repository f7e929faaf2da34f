//! From a slow bucket of a histogram to a request that was in it: the last collected trace of each bucket, as OpenMetrics
//! carries it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use artel_trace::Trace;

use crate::measure::BUCKETS;

/// The content type of a page with exemplars.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The histogram that has them.
const HISTOGRAM: &str = "artel_request_seconds_bucket";

/// By service and method, then by bucket, the one without an upper bound last. As many as the contracts have methods.
static LAST: LazyLock<Mutex<HashMap<(String, String), Buckets>>> = LazyLock::new(Mutex::default);

type Buckets = [Option<Exemplar>; BUCKETS.len() + 1];

#[derive(Debug, Clone, Copy)]
struct Exemplar {
    trace: u128,
    seconds: f64,
    time: f64,
}

/// Remembers a collected trace as the latest of its bucket.
pub(crate) fn note(service: &str, method: &str, seconds: f64, trace: &Trace) {
    if !trace.is_sampled() {
        return;
    }
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let exemplar = Exemplar { trace: trace.number(), seconds, time };
    let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.entry((service.to_owned(), method.to_owned())).or_default()[bucket] = Some(exemplar);
}

/// A page of Prometheus' text format as OpenMetrics, with exemplars.
pub(crate) fn open_metrics(page: &str) -> String {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = String::with_capacity(page.len() + 256);
    for line in page.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("# TYPE ").and_then(|family| family.strip_suffix("_total counter")) {
            // A counter's family is named without what its samples end in.
            Some(family) => out.extend(["# TYPE ", family, " counter"]),
            None => out.push_str(line),
        }
        if let Some(exemplar) = exemplar_of(line, &last) {
            let Exemplar { trace, seconds, time } = exemplar;
            let _ = write!(out, " # {{trace_id=\"{trace:032x}\"}} {seconds} {time:.3}");
        }
        out.push('\n');
    }
    out.push_str("# EOF\n");
    out
}

fn exemplar_of(line: &str, last: &HashMap<(String, String), Buckets>) -> Option<Exemplar> {
    let labels = line.strip_prefix(HISTOGRAM)?;
    let label = |name: &str| {
        let (_, rest) = labels.split_once(name)?;
        rest.split_once('"').map(|(value, _)| value)
    };
    let buckets = last.get(&(label("service=\"")?.to_owned(), label("method=\"")?.to_owned()))?;
    let bucket = match label("le=\"")? {
        "+Inf" => BUCKETS.len(),
        bound => {
            let bound: f64 = bound.parse().ok()?;
            BUCKETS.iter().position(|known| *known == bound)?
        }
    };
    buckets[bucket]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_shows_its_last_collected_trace() {
        artel_trace::set_share(100.0).unwrap();
        let (fast, slow) = (Trace::start(), Trace::start());
        note("order", "O/Place", 0.000_9, &fast);
        note("order", "O/Place", 7.5, &slow);
        let page = "# TYPE artel_requests_total counter\nartel_requests_total{service=\"order\"} 2\n\n\
            # TYPE artel_request_seconds histogram\n\
            artel_request_seconds_bucket{service=\"order\",method=\"O/Place\",le=\"0.0005\"} 0\n\
            artel_request_seconds_bucket{service=\"order\",method=\"O/Place\",le=\"0.001\"} 1\n\
            artel_request_seconds_bucket{service=\"order\",method=\"O/Place\",le=\"+Inf\"} 2\n\
            artel_request_seconds_bucket{service=\"order\",method=\"O/Get\",le=\"+Inf\"} 2\n";
        let lines: Vec<String> = open_metrics(page).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "# TYPE artel_requests counter");
        assert_eq!(lines[1], "artel_requests_total{service=\"order\"} 2");
        assert!(lines[3].ends_with("} 0"));
        assert!(lines[4].contains(&format!("}} 1 # {{trace_id=\"{}\"}} 0.0009 ", fast.id())), "{}", lines[4]);
        assert!(lines[5].contains(&format!("# {{trace_id=\"{}\"}} 7.5 ", slow.id())), "{}", lines[5]);
        assert!(lines[6].ends_with("} 2"));
        assert_eq!(lines.last().unwrap(), "# EOF");
    }

    #[test]
    fn what_is_not_collected_is_no_exemplar() {
        artel_trace::set_share(0.0).unwrap();
        note("order", "O/List", 0.1, &Trace::start());
        assert!(LAST.lock().unwrap().is_empty());
    }
}
