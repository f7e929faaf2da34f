use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::buffer::{Batch, Buffer, Limits};
use crate::forward::{Broken, deliver, watch};
use crate::layer::FluentLayer;

const CONNECT: Duration = Duration::from_secs(5);
/// Pauses between attempts double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Drops are told of in the log no more often than this.
const TELL_DROPS: Duration = Duration::from_secs(30);

/// Where log lines go, and how much may wait.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The receiver's host and port: `127.0.0.1:24224`.
    pub address: String,
    /// The tag that the receiver routes by.
    pub tag: String,
    /// The service that lines belong to which name none.
    pub service: String,
    /// How much may wait.
    pub limits: Limits,
    /// A batch that is not acknowledged within this is sent again, on another connection.
    pub acknowledged_within: Duration,
}

/// The task that sends. It ends with the value; [`Forwarder::drain`] sends what waits first.
#[derive(Debug)]
pub struct Forwarder {
    buffer: Arc<Buffer>,
    task: JoinHandle<()>,
}

/// A layer for the subscriber, and the sender behind it. Must be called within a tokio runtime.
#[must_use]
pub fn start(settings: Settings) -> (FluentLayer, Forwarder) {
    let buffer = Arc::new(Buffer::new(settings.limits));
    // There from the start: that a counter which was not there has grown, nobody notices.
    metrics::counter!("artel_log_lines_sent_total").increment(0);
    metrics::counter!("artel_log_lines_dropped_total").increment(0);
    let layer = FluentLayer::new(Arc::clone(&buffer), &settings.service);
    let sender = Sender { settings, buffer: Arc::clone(&buffer), pause: FIRST_PAUSE, told: 0, told_at: None };
    (layer, Forwarder { buffer, task: tokio::spawn(sender.run()) })
}

impl Forwarder {
    /// Sends what waits, for at most `limit`. The lines that could not be sent; they count as dropped.
    pub async fn drain(self, limit: Duration) -> usize {
        let _ = timeout(limit, self.buffer.drained()).await;
        let left = self.buffer.open();
        self.buffer.lost(left as u64);
        left
    }

    /// How many lines were dropped since the beginning.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.buffer.dropped()
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Sender {
    settings: Settings,
    buffer: Arc<Buffer>,
    pause: Duration,
    /// How many drops were told of, and when last.
    told: u64,
    told_at: Option<Instant>,
}

impl Sender {
    /// Sends until it is aborted.
    async fn run(mut self) {
        let address = self.settings.address.clone();
        // Sent once already, perhaps, and not acknowledged: goes first on the next connection, under the same id.
        let mut open = None;
        let mut was_away = false;
        loop {
            self.tell_drops();
            let broken = match connect(&address).await {
                Ok(stream) => {
                    tracing::info!(address, "forwarding log lines");
                    was_away = false;
                    connected(true);
                    self.forward(stream, &mut open).await
                }
                Err(broken) => broken,
            };
            connected(false);
            if !std::mem::replace(&mut was_away, true) {
                tracing::warn!(address, reason = %broken, "log lines wait: the receiver is away");
            }
            sleep(self.pause.mul_f64(rand::random_range(0.5..=1.0))).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Sends batch after batch until the connection is of no more use.
    async fn forward(&mut self, mut stream: TcpStream, open: &mut Option<Batch>) -> Broken {
        loop {
            let batch = match open.take() {
                Some(batch) => batch,
                None => tokio::select! {
                    batch = self.buffer.next() => batch,
                    broken = watch(&stream) => return broken,
                },
            };
            let batch = open.insert(batch);
            let delivered = deliver(&mut stream, &self.settings.tag, batch);
            match timeout(self.settings.acknowledged_within, delivered).await {
                Ok(Ok(())) => {}
                Ok(Err(broken)) => return broken,
                Err(_) => return Broken::Late,
            }
            *open = None;
            self.buffer.settle();
            self.pause = FIRST_PAUSE;
            self.tell_drops();
        }
    }

    fn tell_drops(&mut self) {
        let dropped = self.buffer.dropped();
        if dropped > self.told && self.told_at.is_none_or(|at| at.elapsed() >= TELL_DROPS) {
            tracing::warn!(lines = dropped - self.told, "log lines dropped: the buffer was full");
            (self.told, self.told_at) = (dropped, Some(Instant::now()));
        }
    }
}

async fn connect(address: &str) -> Result<TcpStream, Broken> {
    let stream = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| Broken::Late)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn connected(connected: bool) {
    metrics::gauge!("artel_log_receiver_connected").set(if connected { 1.0 } else { 0.0 });
}
