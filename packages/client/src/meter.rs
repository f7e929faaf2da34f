use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics::{Counter, Histogram, Label};
use tonic::Code;

/// How many codes gRPC has.
const CODES: usize = 17;

/// Counts calls from one service to another as the caller sees them, attempts and waiting included; a stream up to its
/// first answer. Its handles are looked up once: doing it for each call costs more than the counting.
pub(crate) struct Meter {
    service: Arc<str>,
    target: Arc<str>,
    seconds: OnceLock<Histogram>,
    codes: [OnceLock<Counter>; CODES],
    calls: AtomicU32,
}

impl Meter {
    pub(crate) fn new(service: Arc<str>, target: Arc<str>) -> Self {
        Self {
            service,
            target,
            seconds: OnceLock::new(),
            codes: Default::default(),
            calls: AtomicU32::new(0),
        }
    }

    /// The number of the call that is made now.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn answered(&self, code: Code, took: Duration) {
        let seconds =
            || metrics::histogram!("artel_client_call_seconds", vec![self.service(), self.target()]);
        self.seconds.get_or_init(seconds).record(took);
        let counter = || {
            let code = Label::new("code", format!("{code:?}"));
            metrics::counter!("artel_client_calls_total", vec![self.service(), self.target(), code])
        };
        self.codes[code as usize].get_or_init(counter).increment(1);
    }

    pub(crate) fn tried_again(&self) {
        metrics::counter!("artel_client_retries_total", vec![self.target()]).increment(1);
    }

    fn service(&self) -> Label {
        Label::new("service", Arc::clone(&self.service))
    }

    fn target(&self) -> Label {
        Label::new("target", Arc::clone(&self.target))
    }
}
