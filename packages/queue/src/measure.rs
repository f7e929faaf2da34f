//! What is counted, under which names.

use std::time::Duration;

use artel_trace::{Kind, Span, Trace};
use metrics::{counter, gauge, histogram};

use crate::{Event, Outcome};

pub(crate) fn published(event: &str) {
    counter!("artel_events_published_total", "event" => event.to_owned()).increment(1);
}

pub(crate) fn settled(event: &str, outcome: Outcome) {
    let name = match outcome {
        Outcome::Confirmed => "artel_events_confirmed_total",
        Outcome::Unroutable => "artel_events_unroutable_total",
    };
    counter!(name, "event" => event.to_owned()).increment(1);
}

/// From when the event happened until the broker answered for it.
pub(crate) fn traced(service: &str, event: &Event) {
    let Some(trace) = Trace::parse(&event.trace).filter(Trace::is_sampled) else {
        return;
    };
    let mut span = Span::begin(service, &trace.child(), Kind::Producer, &event.name);
    span.since(event.time.into());
    span.set("messaging.system", "rabbitmq");
    span.set("messaging.message.id", event.id.clone());
    span.done();
}

/// `outcome`: ok, retry, later, dead, expired.
pub(crate) fn handled(service: &str, event: &str, outcome: &'static str) {
    let labels =
        [("service", service.to_owned()), ("event", event.to_owned()), ("outcome", outcome.to_owned())];
    counter!("artel_events_handled_total", &labels).increment(1);
}

pub(crate) fn took(service: &str, event: &str, time: Duration) {
    let labels = [("service", service.to_owned()), ("event", event.to_owned())];
    histogram!("artel_event_handler_seconds", &labels).record(time);
}

/// Counts up while it lives: an event in a handler.
pub(crate) struct InFlight(metrics::Gauge);

impl InFlight {
    pub fn begin(service: &str) -> Self {
        let gauge = gauge!("artel_events_in_flight", "service" => service.to_owned());
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// What waits in a queue that a service owns.
pub(crate) fn depth(queue: &str, messages: u32) {
    gauge!("artel_queue_messages", "queue" => queue.to_owned()).set(f64::from(messages));
}

pub(crate) fn connected(name: &'static str, connected: bool) {
    gauge!("artel_queue_connected", "side" => name).set(if connected { 1.0 } else { 0.0 });
}
