//! Publishing with confirms. One connection of its own, kept up in the background; several channels, and each key
//! always on the same one, so that events of a key leave in the order in which they were given.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::broker::{Backoff, within};
use crate::event::{Outgoing, short};
use crate::{Broker, Error, Topology, Unfinished, measure};

/// Channels of a publisher: more let RabbitMQ confirm on more of its processes.
const CHANNELS: usize = 4;
/// Unconfirmed messages on one channel at most.
const WINDOW: usize = 500;
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
    pub lane: &'a str,
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
        let (sessions, sessions_seen) = watch::channel(None);
        let (connected, connected_seen) = watch::channel(false);
        let stop = CancellationToken::new();
        let keeper =
            Keeper { broker: broker.named("publisher"), topology: topology.clone(), sessions, connected };
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
    /// Events of one key keep their order, over batches too where one is awaited before the next.
    ///
    /// # Errors
    /// [`Unfinished`] says which events the broker did answer for; the others are to be published again.
    pub async fn publish(&self, batch: &[Outgoing]) -> Result<Vec<Outcome>, Unfinished> {
        let exchange = self.inner.topology.exchange();
        let envelopes = batch.iter().map(|event| envelope(event, &exchange, &event.name)).collect();
        self.tell(batch, envelopes).await
    }

    /// The same, but straight into the queue of one service, whatever it listens to: nobody else hears of it.
    /// [`Outcome::Unroutable`] where there is no such queue.
    ///
    /// # Errors
    /// [`Unfinished`], as in [`Publisher::publish`].
    pub async fn resend(&self, service: &str, batch: &[Outgoing]) -> Result<Vec<Outcome>, Unfinished> {
        let queue = self.inner.topology.queue(service);
        let envelopes = batch.iter().map(|event| envelope(event, "", &queue)).collect();
        self.tell(batch, envelopes).await
    }

    async fn tell(
        &self,
        batch: &[Outgoing],
        envelopes: Result<Vec<Envelope<'_>>, Error>,
    ) -> Result<Vec<Outcome>, Unfinished> {
        let envelopes = envelopes.map_err(|cause| Unfinished { outcomes: vec![None; batch.len()], cause })?;
        for event in batch {
            measure::published(&event.name);
        }
        let result = self.send(envelopes).await;
        let settled = |(event, outcome): (&Outgoing, Outcome)| {
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
        let outcomes = self.send(vec![envelope]).await.map_err(|unfinished| unfinished.cause)?;
        Ok(outcomes.first().copied().unwrap_or(Outcome::Unroutable))
    }

    async fn send(&self, envelopes: Vec<Envelope<'_>>) -> Result<Vec<Outcome>, Unfinished> {
        let mut outcomes = vec![None; envelopes.len()];
        if envelopes.is_empty() {
            return Ok(Vec::new());
        }
        let session = match self.session(CONNECTED_WITHIN).await {
            Ok(session) => session,
            Err(cause) => return Err(Unfinished { outcomes, cause }),
        };
        let mut shares: Vec<Vec<(usize, &Envelope)>> = vec![Vec::new(); session.channels.len()];
        for (index, envelope) in envelopes.iter().enumerate() {
            shares[shard(envelope.lane, session.channels.len())].push((index, envelope));
        }
        let shares = session.channels.iter().zip(&shares).filter(|(_, share)| !share.is_empty());
        let sent = join_all(shares.map(|(channel, share)| session.send(channel, share))).await;
        let mut first = None;
        for (answers, failure) in sent {
            for (index, outcome) in answers {
                outcomes[index] = Some(outcome);
            }
            first = first.or(failure);
        }
        match outcomes.iter().copied().collect::<Option<Vec<Outcome>>>() {
            Some(outcomes) => Ok(outcomes),
            None => Err(Unfinished { outcomes, cause: first.unwrap_or(Error::Refused) }),
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

fn envelope<'a>(event: &'a Outgoing, exchange: &str, routing_key: &str) -> Result<Envelope<'a>, Error> {
    Ok(Envelope {
        id: &event.id,
        lane: if event.key.is_empty() { &event.id } else { &event.key },
        exchange: short("the exchange's name", exchange)?,
        routing_key: short("the routing key", routing_key)?,
        properties: event.properties()?,
        body: event.body.clone(),
    })
}

fn shard(lane: &str, channels: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    lane.hash(&mut hasher);
    usize::try_from(hasher.finish() % channels.max(1) as u64).unwrap_or_default()
}

/// One connection, from its opening until anything on it fails.
#[derive(Debug)]
struct Session {
    connection: Connection,
    channels: Vec<Mutex<Channel>>,
    /// Cancelled by whoever finds that a channel can't be trusted any more.
    broken: CancellationToken,
}

impl Session {
    async fn open(broker: &Broker, topology: &Topology) -> Result<Self, Error> {
        let connection = broker.connect().await?;
        let setup = async {
            let mut channels = Vec::with_capacity(CHANNELS);
            for _ in 0..CHANNELS {
                let channel = connection.create_channel().await?;
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                channels.push(channel);
            }
            topology.declare_exchange(&channels[0]).await?;
            lapin::Result::Ok(channels)
        };
        let channels = within(SETUP_WITHIN, setup).await?.into_iter().map(Mutex::new).collect();
        Ok(Self { connection, channels, broken: CancellationToken::new() })
    }

    /// Sends what falls to one channel, a window at a time, and says what the broker answered for.
    async fn send(
        &self,
        channel: &Mutex<Channel>,
        share: &[(usize, &Envelope<'_>)],
    ) -> (Vec<(usize, Outcome)>, Option<Error>) {
        let mut answers = Vec::with_capacity(share.len());
        let deadline = Instant::now() + CONFIRMED_WITHIN;
        let Ok(channel) = timeout_at(deadline, channel.lock()).await else {
            return (answers, Some(Error::Slow(CONFIRMED_WITHIN)));
        };
        // Whoever stops waiting halfway leaves confirms behind that the next batch would take for its own.
        let abandoned = self.broken.clone().drop_guard();
        for window in share.chunks(WINDOW) {
            if let Err(cause) = send_window(&channel, window, deadline, &mut answers).await {
                if matches!(cause, Error::Refused) {
                    abandoned.disarm();
                }
                return (answers, Some(cause));
            }
        }
        abandoned.disarm();
        (answers, None)
    }

    /// Returns when the connection is of no more use.
    async fn watch(&self, connected: &watch::Sender<bool>) {
        let mut events = Box::pin(self.connection.events_listener());
        loop {
            let look = tokio::time::sleep(LOOK);
            tokio::select! {
                () = self.broken.cancelled() => return,
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(reason, "RabbitMQ holds publishers back");
                        connected.send_replace(false);
                    }
                    Some(Event::ConnectionUnblocked) => {
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
    window: &[(usize, &Envelope<'_>)],
    deadline: Instant,
    answers: &mut Vec<(usize, Outcome)>,
) -> Result<(), Error> {
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let mut writes = Vec::with_capacity(window.len());
    for (_, envelope) in window {
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
    for ((index, envelope), (write, ready)) in window.iter().zip(writes) {
        let written = match ready {
            Some(result) => Ok(result),
            None => timeout_at(deadline, write).await,
        };
        match written {
            Ok(Ok(confirm)) => confirms.push((*index, envelope.id, confirm)),
            Ok(Err(error)) => failure = failure.or(Some(error.into())),
            Err(_) => failure = failure.or_else(|| Some(slow())),
        }
    }
    for (index, id, confirm) in confirms {
        match timeout_at(deadline, confirm).await {
            Ok(Ok(Confirmation::Ack(message))) => {
                // lapin hands a returned message out with whichever confirm comes next, not with its own: go by its id.
                let id_of = |message: &lapin::message::BasicReturnMessage| {
                    message.properties.message_id().as_ref().map(ToString::to_string)
                };
                returned.extend(message.as_ref().and_then(id_of));
                confirmed.push((index, id));
            }
            Ok(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => {
                failure = failure.or(Some(Error::Refused));
            }
            Ok(Err(error)) => failure = failure.or(Some(error.into())),
            Err(_) => failure = failure.or_else(|| Some(slow())),
        }
    }
    answers.extend(confirmed.into_iter().map(|(index, id)| {
        (index, if returned.contains(id) { Outcome::Unroutable } else { Outcome::Confirmed })
    }));
    failure.map_or(Ok(()), Err)
}

/// Keeps a session open.
struct Keeper {
    broker: Broker,
    topology: Topology,
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
            match Session::open(&self.broker, &self.topology).await {
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
