use std::borrow::Cow;
use std::time::SystemTime;

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tonic::Code;

use crate::export::{self, Finished};
use crate::trace::Trace;

/// What a step is to the step before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Asks another process: a service, the database.
    Client,
    /// Publishes an event.
    Producer,
    /// Handles an event.
    Consumer,
    /// Works by itself: a job.
    Internal,
}

/// A step of a trace as the collector gets it, from its beginning until it is dropped. Costs next to nothing where the
/// trace is not collected.
#[derive(Debug)]
pub struct Span(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    service: String,
    data: SpanData,
    ended: bool,
}

impl Span {
    /// Begins the step that `trace` names, as this service's.
    #[must_use]
    pub fn begin(service: &str, trace: &Trace, kind: Kind, name: &str) -> Self {
        if !trace.is_sampled() || !export::is_on() {
            return Self(None);
        }
        let flags = TraceFlags::SAMPLED;
        let (trace_id, span_id) = (TraceId::from(trace.number()), SpanId::from(trace.span()));
        let now = SystemTime::now();
        let data = SpanData {
            span_context: SpanContext::new(trace_id, span_id, flags, false, TraceState::NONE),
            parent_span_id: SpanId::from(trace.parent()),
            parent_span_is_remote: matches!(kind, Kind::Server | Kind::Consumer),
            span_kind: kind.into(),
            name: Cow::Owned(name.to_owned()),
            start_time: now,
            end_time: now,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("artel").build(),
        };
        Self(Some(Box::new(Open { service: service.to_owned(), data, ended: false })))
    }

    /// True where it is collected: what is dear to say need not be said otherwise.
    #[must_use]
    pub fn is_collected(&self) -> bool {
        self.0.is_some()
    }

    /// Moves its beginning: a step that is known only when it is over.
    pub fn since(&mut self, begin: SystemTime) {
        if let Some(open) = &mut self.0 {
            open.data.start_time = begin;
        }
    }

    /// Says something of it, by the name that OpenTelemetry's conventions have for it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(open) = &mut self.0 {
            open.data.attributes.push(KeyValue::new(name, value));
        }
    }

    /// Ends it with the answer's code.
    pub fn answered(mut self, code: Code) {
        self.set("rpc.grpc.status_code", i64::from(code as i32));
        if code == Code::Ok { self.done() } else { self.failed(format!("{code:?}")) }
    }

    /// Ends it.
    pub fn done(mut self) {
        if let Some(open) = &mut self.0 {
            open.ended = true;
        }
    }

    /// Ends it as one that failed.
    pub fn failed(mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(open) = &mut self.0 {
            open.ended = true;
            open.data.status = Status::error(why);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let Some(mut open) = self.0.take() else { return };
        if !open.ended {
            open.data.status = Status::error("given up");
        }
        open.data.end_time = SystemTime::now();
        export::take(Finished { service: open.service, data: open.data });
    }
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
            Kind::Internal => Self::Internal,
        }
    }
}
