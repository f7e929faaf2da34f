//! Listening: one queue a service, work of one key in order, and a connection that comes back by itself.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::broker::{Backoff, within};
use crate::event::Message;
use crate::lanes::Lanes;
use crate::settle::{Desk, Note, Work};
use crate::{Broker, Error, Publisher, Topology, depth, measure};

const TALK: Duration = Duration::from_secs(10);
const TAG: &str = "artel";
/// What the desk may have told the runner at once; more of the same is told again by the next event.
const NOTES: usize = 64;

/// Why a handler did not do what an event asks for, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It may work another time: again after growing pauses, then a dead letter.
    Retry(String),
    /// It could not be tried: what it needs is away, or somebody else is at it. Again after `wait`, or after growing
    /// pauses where that is `None`, for as long as it takes; never a dead letter.
    Later {
        /// Why.
        reason: String,
        /// How long to wait; rounded up to the next pause the topology has.
        wait: Option<Duration>,
    },
    /// It will never work: a dead letter at once.
    Permanent(String),
}

impl From<artel_util::Error> for Failure {
    /// What is away now is tried later, what waiting may mend is tried again.
    fn from(error: artel_util::Error) -> Self {
        if error.is_transient() {
            Self::Later { reason: error.to_string(), wait: None }
        } else {
            Self::Retry(error.to_string())
        }
    }
}

/// Does what events ask for. Its effects must be committed when it returns `Ok`, under the event's id as idempotency
/// key: the same event can come again, and to another process.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles one event.
    ///
    /// # Errors
    /// A [`Failure`]. A panic counts as [`Failure::Retry`].
    async fn handle(&self, message: &Message) -> Result<(), Failure>;
}

/// What a service listens to.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The service: instances of one name share a queue.
    pub service: String,
    /// Names of the events, such as `order.placed`.
    pub events: BTreeSet<String>,
    /// How many events are in hand at once, waiting or worked on.
    pub prefetch: u16,
    /// A handler that takes longer has failed. Below RabbitMQ's `consumer_timeout`.
    pub timeout: Duration,
}

impl Subscription {
    /// Of a service, to the events of these names; 128 in hand, a minute for each.
    pub fn new(service: impl Into<String>, events: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            service: service.into(),
            events: events.into_iter().map(Into::into).collect(),
            prefetch: 128,
            timeout: Duration::from_secs(60),
        }
    }
}

/// What was left when a listener stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Events in hand that were finished while draining.
    pub finished: usize,
    /// Events given back to the queue because time was up.
    pub returned: usize,
}

/// A running subscription. Dropping it gives back what is in hand; [`Listener::drain`] finishes it first.
#[derive(Debug)]
pub struct Listener {
    stop: watch::Sender<Option<Instant>>,
    connected: watch::Receiver<bool>,
    task: JoinHandle<Drained>,
}

impl Listener {
    /// Begins to listen, and again whenever the connection is lost. Must be called inside a tokio runtime. What fails
    /// goes to its retry and dead-letter queues through `publisher`, whose connection is another, so that a broker
    /// which holds publishers back doesn't hold back our acknowledgements.
    pub fn start(
        broker: &Broker,
        topology: &Topology,
        subscription: Subscription,
        publisher: Publisher,
        handler: impl Handler,
    ) -> Self {
        let (stop, stop_seen) = watch::channel(None);
        let (connected, connected_seen) = watch::channel(false);
        let (notes, notes_seen) = mpsc::channel(NOTES);
        let desk =
            Desk { publisher, topology: topology.clone(), subscription, handler: Box::new(handler), notes };
        let runner = Runner {
            broker: broker.named("listener"),
            desk: Arc::new(desk),
            lanes: Lanes::default(),
            tasks: JoinSet::new(),
            notes: notes_seen,
            connected,
            stop: stop_seen,
        };
        Self { stop, connected: connected_seen, task: tokio::spawn(runner.run()) }
    }

    /// True while events can arrive.
    #[must_use]
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    /// Takes no more events, finishes those in hand within `limit`, and gives the others back.
    pub async fn drain(self, limit: Duration) -> Drained {
        self.stop.send_replace(Some(Instant::now() + limit));
        self.task.await.unwrap_or_default()
    }
}

/// A connection that consumes.
struct Session {
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
}

impl Session {
    async fn open(broker: &Broker, desk: &Desk) -> Result<Self, Error> {
        let connection = broker.connect().await?;
        let subscription = &desk.subscription;
        let setup = async {
            let channel = connection.create_channel().await?;
            let events = subscription.events.iter().map(String::as_str);
            desk.topology.declare_service(&channel, &subscription.service, events).await?;
            channel.basic_qos(subscription.prefetch.max(1), BasicQosOptions::default()).await?;
            let queue = desk.topology.queue(&subscription.service).into();
            let options = BasicConsumeOptions::default();
            let consumer = channel.basic_consume(queue, TAG.into(), options, FieldTable::default()).await?;
            lapin::Result::Ok((channel, consumer))
        };
        let (channel, consumer) = within(TALK, setup).await?;
        Ok(Self { connection, channel, consumer })
    }
}

/// Returns when the listener is told to stop, or dropped.
async fn stopped(stop: &mut watch::Receiver<Option<Instant>>) {
    let _ = stop.wait_for(Option::is_some).await;
}

struct Runner {
    broker: Broker,
    desk: Arc<Desk>,
    /// Lanes and tasks outlive a connection: what comes again waits for the handler that is still at it.
    lanes: Lanes<Work>,
    tasks: JoinSet<String>,
    notes: mpsc::Receiver<Note>,
    connected: watch::Sender<bool>,
    stop: watch::Receiver<Option<Instant>>,
}

impl Runner {
    async fn run(mut self) -> Drained {
        let mut backoff = Backoff::default();
        let mut stop = self.stop.clone();
        loop {
            let opened = tokio::select! {
                biased;
                () = stopped(&mut stop) => return self.finish().await,
                opened = Session::open(&self.broker, &self.desk) => opened,
            };
            match opened {
                Ok(mut session) => {
                    // What was missing has just been declared.
                    while self.notes.try_recv().is_ok() {}
                    self.report(true);
                    tracing::info!(service = self.desk.subscription.service, "listening");
                    let reason = self.consume(&mut session).await;
                    self.report(false);
                    let Some(reason) = reason else { return self.drain(session).await };
                    tracing::warn!(
                        service = self.desk.subscription.service,
                        reason,
                        "not listening any more"
                    );
                    backoff.reset();
                }
                Err(error) => {
                    tracing::warn!(%error, service = self.desk.subscription.service, "cannot listen");
                }
            }
            tokio::select! {
                () = stopped(&mut stop) => return self.finish().await,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Works until told to stop (`None`) or until the connection is of no more use (why).
    async fn consume(&mut self, session: &mut Session) -> Option<String> {
        let mut stop = self.stop.clone();
        let desk = Arc::clone(&self.desk);
        let depths = depth::watch(&session.connection, &desk.topology, &desk.subscription.service);
        let mut depths = std::pin::pin!(depths);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return None,
                () = &mut depths => {}
                Some(done) = self.tasks.join_next() => self.advance(done),
                Some(note) = self.notes.recv() => match note {
                    Note::QueueMissing(queue) => return Some(format!("the queue {queue} is missing")),
                    Note::Stale(event) => self.unbind(&session.channel, &event).await,
                },
                delivery = session.consumer.next() => match delivery {
                    Some(Ok(delivery)) => {
                        let work = Work::read(delivery);
                        let lane = work.lane();
                        if let Some(work) = self.lanes.enter(&lane, work) {
                            self.begin(lane, work);
                        }
                    }
                    Some(Err(error)) => return Some(error.to_string()),
                    None => return Some("RabbitMQ cancelled the consumer".to_owned()),
                },
            }
        }
    }

    /// Takes nothing new, finishes what is in hand until the deadline. Closing the connection gives back the rest.
    async fn drain(mut self, session: Session) -> Drained {
        let cancel = session.channel.basic_cancel(TAG.into(), BasicCancelOptions::default());
        if let Err(error) = within(TALK, cancel).await {
            tracing::debug!(%error, "cannot cancel the consumer");
        }
        let drained = self.finish().await;
        // An orderly close also carries the last acknowledgements.
        if let Err(error) = within(TALK, session.connection.close(200, "OK".into())).await {
            tracing::debug!(%error, "the connection was not closed in good order");
        }
        drained
    }

    /// Finishes what is in hand until the deadline.
    async fn finish(&mut self) -> Drained {
        let deadline = self.stop.borrow().unwrap_or_else(Instant::now);
        let mut drained = Drained::default();
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
            drained.finished += 1;
            self.advance(done);
        }
        drained.returned = self.tasks.len() + self.lanes.waiting();
        self.tasks.shutdown().await;
        tracing::info!(service = self.desk.subscription.service, ?drained, "stopped listening");
        drained
    }

    fn begin(&mut self, lane: String, work: Work) {
        let desk = self.desk.clone();
        self.tasks.spawn(async move {
            // The lane goes on whatever happens in it.
            if std::panic::AssertUnwindSafe(desk.work(work)).catch_unwind().await.is_err() {
                tracing::error!(lane, "settling an event panicked");
            }
            lane
        });
    }

    /// Starts what waited behind a finished task, passing over what a lost connection made void: it comes again.
    fn advance(&mut self, done: Result<String, tokio::task::JoinError>) {
        let Ok(lane) = done else { return };
        while let Some(work) = self.lanes.leave(&lane) {
            if work.is_ours() {
                self.begin(lane, work);
                return;
            }
        }
    }

    async fn unbind(&self, channel: &Channel, event: &str) {
        let service = &self.desk.subscription.service;
        let (queue, exchange) = (self.desk.topology.queue(service), self.desk.topology.exchange());
        let unbind = channel.queue_unbind(queue.into(), exchange.into(), event.into(), FieldTable::default());
        match within(TALK, unbind).await {
            Ok(()) => tracing::warn!(service, event, "nobody here listens to it: binding removed"),
            Err(error) => tracing::warn!(%error, service, event, "cannot remove a stale binding"),
        }
    }

    fn report(&self, connected: bool) {
        self.connected.send_replace(connected);
        measure::connected("listener", connected);
    }
}
