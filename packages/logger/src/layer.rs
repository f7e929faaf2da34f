use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::buffer::Buffer;
use crate::record::{Fields, Value};

/// What every line says by itself; a field of the same name gets an underscore.
const OWN: [&str; 2] = ["level", "target"];

/// Puts each event into the buffer, with the fields of the spans it happened in. Never waits for the receiver.
#[derive(Debug)]
pub struct FluentLayer {
    buffer: Arc<Buffer>,
    /// On every line, unless a span or the event says otherwise.
    common: Fields,
}

impl FluentLayer {
    pub(crate) fn new(buffer: Arc<Buffer>, service: &str) -> Self {
        let mut common = Fields::default();
        common.set("service", Value::Text(service.to_owned()));
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        common.set("host", Value::Text(host.trim().to_owned()));
        common.set("pid", Value::Unsigned(std::process::id().into()));
        Self { buffer, common }
    }
}

impl<S> Layer<S> for FluentLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                said.lay_over(fields);
            }
            said.set("span", Value::Text(span.name().to_owned()));
        }
        event.record(&mut said);
        let metadata = event.metadata();
        // What came by the crate `log` says its origin in a field.
        let target = said.take_text("log.target").map_or(Cow::Borrowed(metadata.target()), Cow::Owned);
        said.without_bridge();
        let mut line = Fields::default();
        line.set("level", Value::Text(metadata.level().to_string()));
        line.set("target", Value::Text(target.into_owned()));
        line.lay_over(&self.common);
        said.rename(&OWN);
        line.lay_over(&said);
        match line.encode(SystemTime::now()) {
            Ok(entry) => self.buffer.push(entry),
            Err(_) => self.buffer.lost(1),
        }
    }
}
