//! Spans on their way to the collector: a bounded queue that never keeps anybody waiting, and a task that sends what is
//! in it. Traces are samples: what cannot be sent is dropped and counted, not sent again.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::{mpsc, oneshot};
use tonic::transport::{Channel, Endpoint};

/// Spans sent together at most.
const BATCH: usize = 512;
/// How long a batch that is not full waits for more.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take for a batch.
const ANSWER: Duration = Duration::from_secs(5);

static QUEUE: OnceLock<mpsc::Sender<Item>> = OnceLock::new();

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector: `http://127.0.0.1:4317`.
    pub address: String,
    /// Spans that may wait for it; those beyond are dropped and counted.
    pub queue: usize,
}

/// Why no spans are sent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not an address.
    #[error("the collector's address must look like http://127.0.0.1:4317: {0}")]
    Address(#[from] tonic::transport::Error),
    /// The exporter refused to be made.
    #[error(transparent)]
    Exporter(#[from] ExporterBuildError),
    /// There is one already.
    #[error("spans of this process are sent already")]
    Twice,
}

/// The way to the collector, for the life of the process.
#[derive(Debug)]
pub struct Exporter(());

/// A span that is over, and whose it is.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) service: String,
    pub(crate) data: SpanData,
}

enum Item {
    Span(Box<Finished>),
    Flush(oneshot::Sender<()>),
}

/// Sends spans from now on; the collector need not be there yet. Must be called within a tokio runtime.
///
/// # Errors
/// Where the address is none, or there is a way already.
pub fn start(settings: &Settings) -> Result<Exporter, StartError> {
    let channel = Endpoint::from_shared(settings.address.clone())?
        .connect_timeout(ANSWER)
        .timeout(ANSWER)
        .connect_lazy();
    let (sender, receiver) = mpsc::channel(settings.queue.max(1));
    let services = Services { channel, by_name: HashMap::new() };
    QUEUE.set(sender).map_err(|_| StartError::Twice)?;
    tokio::spawn(send(receiver, services));
    Ok(Exporter(()))
}

impl Exporter {
    /// Sends what waits, for at most this long.
    pub async fn drain(self, most: Duration) {
        let Some(queue) = QUEUE.get() else { return };
        let (sent, all_sent) = oneshot::channel();
        let flush = async {
            if queue.send(Item::Flush(sent)).await.is_ok() {
                let _ = all_sent.await;
            }
        };
        let _ = tokio::time::timeout(most, flush).await;
    }
}

pub(crate) fn is_on() -> bool {
    QUEUE.get().is_some()
}

pub(crate) fn take(span: Finished) {
    let Some(queue) = QUEUE.get() else { return };
    if queue.try_send(Item::Span(Box::new(span))).is_err() {
        dropped(1, "full");
    }
}

fn dropped(spans: usize, reason: &'static str) {
    metrics::counter!("artel_trace_spans_dropped_total", "reason" => reason).increment(spans as u64);
}

/// An exporter a service: they share the connection, and each says whose spans it sends.
struct Services {
    channel: Channel,
    by_name: HashMap<String, SpanExporter>,
}

impl Services {
    fn of(&mut self, service: &str) -> Result<&SpanExporter, ExporterBuildError> {
        if !self.by_name.contains_key(service) {
            let mut exporter = SpanExporter::builder()
                .with_tonic()
                .with_channel(self.channel.clone())
                .with_timeout(ANSWER)
                .build()?;
            let resource = Resource::builder_empty().with_service_name(service.to_owned()).build();
            exporter.set_resource(&resource);
            self.by_name.insert(service.to_owned(), exporter);
        }
        Ok(&self.by_name[service])
    }

    async fn send(&mut self, batch: HashMap<String, Vec<SpanData>>) {
        for (service, spans) in batch {
            let count = spans.len();
            let sent = match self.of(&service) {
                Ok(exporter) => exporter.export(spans).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match sent {
                Ok(()) => metrics::counter!("artel_trace_spans_total").increment(count as u64),
                Err(error) => {
                    tracing::debug!(error, count, "spans were not sent");
                    dropped(count, "unsent");
                }
            }
        }
    }
}

async fn send(mut queue: mpsc::Receiver<Item>, mut services: Services) {
    let mut items = Vec::new();
    while let Some(first) = queue.recv().await {
        items.push(first);
        let gather = async {
            while items.len() < BATCH && !matches!(items.last(), Some(Item::Flush(_)) | None) {
                let Some(item) = queue.recv().await else { break };
                items.push(item);
            }
        };
        let _ = tokio::time::timeout(GATHER, gather).await;
        let mut batch: HashMap<String, Vec<SpanData>> = HashMap::new();
        let mut waiting = None;
        for item in items.drain(..) {
            match item {
                Item::Span(span) => batch.entry(span.service).or_default().push(span.data),
                Item::Flush(sent) => waiting = Some(sent),
            }
        }
        services.send(batch).await;
        if let Some(sent) = waiting {
            let _ = sent.send(());
        }
    }
}
