//! Publishing with confirms. One connection of its own, kept up in the background, and several channels: a batch has one
//! to itself until all of it is confirmed, so that its events leave in the order in which they were given, and so that
//! what the broker says is about none but them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::broker::{Backoff, within};
use crate::event::{Event, short};
use crate::{Broker, Error, Topology, Unfinished, measure};

/// What a publisher may have under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lines {
    /// Batches at once: each has a channel of its own. More let RabbitMQ confirm on more of its processes.
    pub channels: usize,
    /// Unconfirmed messages of one batch at most.
    pub window: usize,
}

impl Default for Lines {
    fn default() -> Self {
        Self { channels: 4, window: 500 }
    }
}

/// How long a batch waits for a connection, and then for its confirms.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
const CONFIRMED_WITHIN: Duration = Duration::from_secs(30);
const SETUP_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(1);

/// What became of an event that the broker answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is safe in every queue that wants it.
    Confirmed,
    /// No queue wants it: nobody listens to events of that name.
    Unroutable,
}

/// Publishes events. Cheap to clone; the connection closes with the last clone.
#[derive(Debug, Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Who publishes, as traces name it.
    service: String,
    topology: Topology,
    sessions: watch::Receiver<Option<Arc<Session>>>,
    connected: watch::Receiver<bool>,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A message with its address, ready for the wire.
pub(crate) struct Envelope<'a> {
    pub id: &'a str,
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub properties: BasicProperties,
    pub body: Bytes,
}

impl Publisher {
    /// Begins to connect, and again whenever the connection is lost, until the last clone is dropped. Must be called
    /// inside a tokio runtime. Returns at once; [`Publisher::ready`] waits.
    #[must_use]
    pub fn connect(broker: &Broker, topology: &Topology) -> Self {
        Self::with(broker, topology, Lines::default())
    }

    /// The same with more or less under way at once.
    #[must_use]
    pub fn with(broker: &Broker, topology: &Topology, lines: Lines) -> Self {
        let (sessions, sessions_seen) = watch::channel(None);
        let (connected, connected_seen) = watch::channel(false);
        let stop = CancellationToken::new();
        let keeper = Keeper {
            broker: broker.named("publisher"),
            topology: topology.clone(),
            lines,
            sessions,
            connected,
        };
        tokio::spawn(keeper.run(stop.clone()));
        let inner = Inner {
            service: broker.name().to_owned(),
            topology: topology.clone(),
            sessions: sessions_seen,
            connected: connected_seen,
            stop,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Waits for a usable connection.
    ///
    /// # Errors
    /// [`Error::Away`] where there is none for `limit`.
    pub async fn ready(&self, limit: Duration) -> Result<(), Error> {
        self.session(limit).await.map(drop)
    }

    /// True while publishing works: connected, and not held back by an alarm of the broker (memory, disk).
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.inner.connected.clone()
    }

    /// Publishes a batch and waits until each event of it is confirmed. The outcomes come in the order of the batch.
    ///
    /// The events keep their order, over batches too where one is awaited before the next.
    ///
    /// # Errors
    /// [`Unfinished`] says which events the broker did answer for; the others are to be published again.
    pub async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        let exchange = self.inner.topology.exchange();
        let envelopes = batch.iter().map(|event| envelope(event, &exchange, &event.name)).collect();
        self.tell(batch, envelopes, Way::Main).await
    }

    /// The same, but straight into the queue of one service, whatever it listens to: nobody else hears of it.
    /// [`Outcome::Unroutable`] where there is no such queue. All of these share one channel, beside those of others.
    ///
    /// # Errors
    /// [`Unfinished`], as in [`Publisher::publish`].
    pub async fn resend(&self, service: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        let queue = self.inner.topology.queue(service);
        let envelopes = batch.iter().map(|event| envelope(event, "", &queue)).collect();
        self.tell(batch, envelopes, Way::Aside).await
    }

    async fn tell(
        &self,
        batch: &[Event],
        envelopes: Result<Vec<Envelope<'_>>, Error>,
        way: Way,
    ) -> Result<Vec<Outcome>, Unfinished> {
        let envelopes = envelopes.map_err(|cause| Unfinished { outcomes: vec![None; batch.len()], cause })?;
        for event in batch {
            measure::published(&event.name);
        }
        let result = self.send(envelopes, way).await;
        let settled = |(event, outcome): (&Event, Outcome)| {
            measure::settled(&event.name, outcome);
            measure::traced(&self.inner.service, event);
        };
        match &result {
            Ok(outcomes) => batch.iter().zip(outcomes.iter().copied()).for_each(settled),
            Err(unfinished) => {
                let known = batch.iter().zip(&unfinished.outcomes);
                known.filter_map(|(event, outcome)| Some((event, (*outcome)?))).for_each(settled);
            }
        }
        result
    }

    /// Sends one message to one queue.
    pub(crate) async fn forward(&self, envelope: Envelope<'_>) -> Result<Outcome, Error> {
        let outcomes = self.send(vec![envelope], Way::Main).await.map_err(|unfinished| unfinished.cause)?;
        Ok(outcomes.first().copied().unwrap_or(Outcome::Unroutable))
    }

    async fn send(&self, envelopes: Vec<Envelope<'_>>, way: Way) -> Result<Vec<Outcome>, Unfinished> {
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let session = match self.session(CONNECTED_WITHIN).await {
            Ok(session) => session,
            Err(cause) => return Err(Unfinished { outcomes: vec![None; envelopes.len()], cause }),
        };
        let (outcomes, failure) = session.send(&envelopes, way).await;
        match outcomes.iter().copied().collect::<Option<Vec<Outcome>>>() {
            Some(outcomes) => Ok(outcomes),
            None => Err(Unfinished { outcomes, cause: failure.unwrap_or(Error::Refused) }),
        }
    }

    async fn session(&self, limit: Duration) -> Result<Arc<Session>, Error> {
        let mut connected = self.inner.connected.clone();
        let away = Error::Away(limit);
        let wait = tokio::time::timeout(limit, async {
            loop {
                connected.wait_for(|connected| *connected).await.ok()?;
                if let Some(session) = self.inner.sessions.borrow().clone() {
                    return Some(session);
                }
                connected.changed().await.ok()?;
            }
        });
        wait.await.ok().flatten().ok_or(away)
    }
}

fn envelope<'a>(event: &'a Event, exchange: &str, routing_key: &str) -> Result<Envelope<'a>, Error> {
    Ok(Envelope {
        id: &event.id,
        exchange: short("the exchange's name", exchange)?,
        routing_key: short("the routing key", routing_key)?,
        properties: event.properties()?,
        body: event.body.clone(),
    })
}

/// By which channels a batch goes.
#[derive(Debug, Clone, Copy)]
enum Way {
    Main,
    /// Beside them, so that they are not held up.
    Aside,
}

/// Channels that a batch takes one of.
#[derive(Debug)]
struct Channels {
    free: Mutex<Vec<Channel>>,
    room: Semaphore,
}

/// A channel that nobody else has meanwhile.
struct Taken<'a> {
    channel: Channel,
    of: &'a Channels,
    _room: SemaphorePermit<'a>,
}

impl Channels {
    async fn open(connection: &Connection, count: usize) -> lapin::Result<Self> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            channels.push(channel);
        }
        Ok(Self { room: Semaphore::new(channels.len()), free: Mutex::new(channels) })
    }

    /// Waits for one; whoever came first has it first.
    async fn take(&self) -> Option<Taken<'_>> {
        let room = self.room.acquire().await.ok()?;
        let channel = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Taken { channel, of: self, _room: room })
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.of.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.channel.clone());
    }
}

/// One connection, from its opening until anything on it fails.
#[derive(Debug)]
struct Session {
    connection: Connection,
    main: Channels,
    aside: Channels,
    window: usize,
    /// Cancelled by whoever finds that a channel can't be trusted any more.
    broken: CancellationToken,
}

impl Session {
    async fn open(broker: &Broker, topology: &Topology, lines: Lines) -> Result<Self, Error> {
        let connection = broker.connect().await?;
        let setup = async {
            let main = Channels::open(&connection, lines.channels.max(1)).await?;
            let aside = Channels::open(&connection, 1).await?;
            topology.declare_exchange(&connection.create_channel().await?).await?;
            lapin::Result::Ok((main, aside))
        };
        let (main, aside) = within(SETUP_WITHIN, setup).await?;
        Ok(Self { connection, main, aside, window: lines.window.max(1), broken: CancellationToken::new() })
    }

    /// Sends a batch, a window at a time, and says what the broker answered for.
    async fn send(&self, batch: &[Envelope<'_>], way: Way) -> (Vec<Option<Outcome>>, Option<Error>) {
        let mut outcomes = vec![None; batch.len()];
        let deadline = Instant::now() + CONFIRMED_WITHIN;
        let channels = match way {
            Way::Main => &self.main,
            Way::Aside => &self.aside,
        };
        let Ok(Some(taken)) = timeout_at(deadline, channels.take()).await else {
            return (outcomes, Some(Error::Slow(CONFIRMED_WITHIN)));
        };
        // Whoever stops waiting halfway leaves confirms behind that the next batch would take for its own.
        let abandoned = self.broken.clone().drop_guard();
        let mut failure = None;
        for (window, outcomes) in batch.chunks(self.window).zip(outcomes.chunks_mut(self.window)) {
            if let Err(cause) = send_window(&taken.channel, window, deadline, outcomes).await {
                failure = Some(cause);
                break;
            }
        }
        if !matches!(failure, None | Some(Error::Refused)) {
            return (outcomes, failure);
        }
        abandoned.disarm();
        (outcomes, failure)
    }

    /// Returns when the connection is of no more use.
    async fn watch(&self, connected: &watch::Sender<bool>) {
        let mut events = Box::pin(self.connection.events_listener());
        loop {
            let look = tokio::time::sleep(LOOK);
            tokio::select! {
                () = self.broken.cancelled() => return,
                event = events.next() => match event {
                    Some(lapin::Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "RabbitMQ holds publishers back");
                        connected.send_replace(false);
                    }
                    Some(lapin::Event::ConnectionUnblocked) => {
                        connected.send_replace(true);
                    }
                    Some(_) => {}
                    None => return,
                },
                () = look => {}
            }
            if !self.connection.status().connected() {
                return;
            }
        }
    }
}

/// Puts a window on the wire in one go and awaits its confirms together.
async fn send_window(
    channel: &Channel,
    window: &[Envelope<'_>],
    deadline: Instant,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), Error> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let mut writes = Vec::with_capacity(window.len());
    for envelope in window {
        let (exchange, routing_key) = (envelope.exchange.clone(), envelope.routing_key.clone());
        let mut write = Box::pin(channel.basic_publish(
            exchange,
            routing_key,
            options,
            &envelope.body,
            envelope.properties.clone(),
        ));
        // The first poll queues the frames, so the order is ours; waiting for each write would be a round through
        // lapin's I/O task for every message.
        let ready = match futures::poll!(write.as_mut()) {
            std::task::Poll::Ready(result) => Some(result),
            std::task::Poll::Pending => None,
        };
        writes.push((write, ready));
    }
    let mut failure = None;
    let mut confirmed = Vec::with_capacity(window.len());
    let mut returned = HashSet::new();
    let slow = || Error::Slow(CONFIRMED_WITHIN);
    let mut confirms = Vec::with_capacity(window.len());
    for (index, (write, ready)) in writes.into_iter().enumerate() {
        let written = match ready {
            Some(result) => Ok(result),
            None => timeout_at(deadline, write).await,
        };
        match written {
            Ok(Ok(confirm)) => confirms.push((index, confirm)),
            Ok(Err(error)) => failure = failure.or(Some(error.into())),
            Err(_) => failure = failure.or_else(|| Some(slow())),
        }
    }
    for (index, confirm) in confirms {
        match timeout_at(deadline, confirm).await {
            Ok(Ok(Confirmation::Ack(message))) => {
                // lapin hands a returned message out with whichever confirm comes next, not with its own: go by its id.
                let id_of = |message: &lapin::message::BasicReturnMessage| {
                    message.properties.message_id().as_ref().map(ToString::to_string)
                };
                returned.extend(message.as_ref().and_then(id_of));
                confirmed.push(index);
            }
            Ok(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => {
                failure = failure.or(Some(Error::Refused));
            }
            Ok(Err(error)) => failure = failure.or(Some(error.into())),
            Err(_) => failure = failure.or_else(|| Some(slow())),
        }
    }
    for index in confirmed {
        let is_returned = returned.contains(window[index].id);
        outcomes[index] = Some(if is_returned { Outcome::Unroutable } else { Outcome::Confirmed });
    }
    failure.map_or(Ok(()), Err)
}

/// Keeps a session open.
struct Keeper {
    broker: Broker,
    topology: Topology,
    lines: Lines,
    sessions: watch::Sender<Option<Arc<Session>>>,
    connected: watch::Sender<bool>,
}

impl Keeper {
    async fn run(self, stop: CancellationToken) {
        if stop.run_until_cancelled(self.keep()).await.is_none() {
            let session = self.sessions.send_replace(None);
            self.connected.send_replace(false);
            if let Some(session) = session {
                let _ = within(SETUP_WITHIN, session.connection.close(200, "OK".into())).await;
            }
        }
    }

    async fn keep(&self) {
        let mut backoff = Backoff::default();
        loop {
            match Session::open(&self.broker, &self.topology, self.lines).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    self.sessions.send_replace(Some(session.clone()));
                    self.report(true);
                    tracing::info!(broker = ?self.broker, "publishing");
                    session.watch(&self.connected).await;
                    self.sessions.send_replace(None);
                    self.report(false);
                    tracing::warn!(broker = ?self.broker, "the connection to RabbitMQ is lost");
                    backoff.reset();
                }
                Err(error) => tracing::warn!(%error, broker = ?self.broker, "RabbitMQ is away"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    fn report(&self, connected: bool) {
        self.connected.send_replace(connected);
        measure::connected("publisher", connected);
    }
}
