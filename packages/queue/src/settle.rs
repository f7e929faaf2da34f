//! One event from its arrival to its acknowledgement: handle it, or see that it comes again, or park it.
//! An event leaves the service's queue only when it is done with or safe in another one.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use futures::FutureExt;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::AMQPValue;
use tokio::sync::mpsc;
use tracing::Instrument;

use crate::broker::Backoff;
use crate::event::{
    ATTEMPT, DEAD_TIME, ERROR, Event, Message, POSTPONED, error_header, forwarded, number, short,
};
use crate::publisher::Envelope;
use crate::{Failure, Handler, Outcome, Publisher, Subscription, Topology, measure};

/// An event in hand.
pub(crate) struct Work {
    delivery: Delivery,
    message: Result<Message, String>,
    body: Bytes,
}

impl Work {
    pub fn read(mut delivery: Delivery) -> Self {
        let message = Message::read(&mut delivery);
        let body = match &message {
            Ok(message) => message.event.body.clone(),
            Err(_) => std::mem::take(&mut delivery.data).into(),
        };
        Self { delivery, message, body }
    }

    pub fn lane(&self) -> String {
        match &self.message {
            Ok(message) => message.event.lane().to_owned(),
            Err(_) => format!("delivery {}", self.delivery.delivery_tag),
        }
    }

    /// False where the connection it came by is lost: the broker gives it out again.
    pub fn is_ours(&self) -> bool {
        self.delivery.acker.usable()
    }
}

/// What the desk tells the runner.
pub(crate) enum Note {
    /// A retry or dead-letter queue is gone and has to be declared again.
    QueueMissing(String),
    /// An event of this name keeps coming, and nobody here listens to it.
    Stale(String),
}

/// Where an event goes that is not done with.
enum Next<'a> {
    Again { pause: Duration, counter: &'static str, count: u32 },
    Dead { attempts: u32, error: &'a str },
}

/// Handles events and settles them.
pub(crate) struct Desk {
    pub publisher: Publisher,
    pub topology: Topology,
    pub subscription: Subscription,
    pub handler: Box<dyn Handler>,
    pub notes: mpsc::Sender<Note>,
}

impl Desk {
    pub async fn work(&self, work: Work) {
        if !work.is_ours() {
            return;
        }
        let service = &self.subscription.service;
        let message = match &work.message {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(service, error, "a message that is no event");
                self.move_on(&work, Next::Dead { attempts: 1, error }).await;
                return measure::handled(service, "unknown", "dead");
            }
        };
        let Message { event: Event { id, name, key, workspace, .. }, attempt, .. } = message;
        let trace = message.event.trace_id();
        let correlation =
            Some(message.event.correlation.as_str()).filter(|correlation| !correlation.is_empty());
        let span = tracing::info_span!(
            "event",
            service,
            event = name,
            id,
            key,
            workspace,
            attempt,
            trace,
            correlation
        );
        async {
            let outcome = self.settle(&work, message).await;
            measure::handled(service, name, outcome);
        }
        .instrument(span)
        .await;
    }

    async fn settle(&self, work: &Work, message: &Message) -> &'static str {
        if message.event.expire.is_some_and(|expire| expire <= Utc::now()) {
            tracing::info!("dropped: past its deadline");
            acknowledge(&work.delivery).await;
            return "expired";
        }
        let failure = match self.handle(message).await {
            Ok(()) => {
                acknowledge(&work.delivery).await;
                return "ok";
            }
            Err(failure) => failure,
        };
        let properties = &work.delivery.properties;
        let retries = self.topology.retries();
        let attempts = message.attempt;
        match failure {
            Failure::Later { reason, wait } => {
                let postponed =
                    u32::try_from(number(properties, POSTPONED).unwrap_or_default()).unwrap_or_default();
                let pause = match wait {
                    Some(wait) => retries.iter().find(|pause| **pause >= wait),
                    None => retries.get(postponed as usize),
                };
                let Some(pause) = pause.or(retries.last()).copied() else {
                    self.move_on(work, Next::Dead { attempts, error: &reason }).await;
                    return "dead";
                };
                tracing::info!(reason, ?pause, "put off");
                let count = postponed.saturating_add(u32::from(wait.is_none()));
                self.move_on(work, Next::Again { pause, counter: POSTPONED, count }).await;
                "later"
            }
            Failure::Retry(reason) => match retries.get(attempts as usize - 1).copied() {
                Some(pause) => {
                    tracing::warn!(reason, ?pause, "failed; again later");
                    self.move_on(work, Next::Again { pause, counter: ATTEMPT, count: attempts }).await;
                    "retry"
                }
                None => self.bury(work, message, &reason).await,
            },
            Failure::Permanent(reason) => self.bury(work, message, &reason).await,
        }
    }

    async fn handle(&self, message: &Message) -> Result<(), Failure> {
        let service = &self.subscription.service;
        if !self.subscription.events.contains(&message.event.name) {
            // During a rollout the newer instance may know it, so it gets its chances before the binding is removed.
            return Err(Failure::Retry(format!("nobody in {service} listens to {}", message.event.name)));
        }
        let limit = self.subscription.timeout;
        let _in_flight = measure::InFlight::begin(service);
        let begun = Instant::now();
        let handled = AssertUnwindSafe(self.handler.handle(message)).catch_unwind();
        let result = match tokio::time::timeout(limit, handled).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Failure::Retry(format!("the handler panicked: {}", said(&*panic)))),
            Err(_) => Err(Failure::Retry(format!("the handler took longer than {limit:?}"))),
        };
        measure::took(service, &message.event.name, begun.elapsed());
        result
    }

    async fn bury(&self, work: &Work, message: &Message, reason: &str) -> &'static str {
        tracing::error!(reason, "failed for good: a dead letter");
        self.move_on(work, Next::Dead { attempts: message.attempt, error: reason }).await;
        if !self.subscription.events.contains(&message.event.name) {
            let _ = self.notes.try_send(Note::Stale(message.event.name.clone()));
        }
        "dead"
    }

    /// Publishes the message to another queue and acknowledges it once it is safe there. Keeps trying for as long as
    /// the message is ours: if the connection goes, so does the duty, and the broker gives it out again.
    async fn move_on(&self, work: &Work, next: Next<'_>) {
        let service = &self.subscription.service;
        let (queue, changes) = match next {
            Next::Again { pause, counter, count } => (
                self.topology.retry_queue(service, pause),
                vec![(counter, Some(AMQPValue::LongLongInt(count.into())))],
            ),
            Next::Dead { attempts, error } => (
                self.topology.dead_queue(service),
                vec![
                    (ATTEMPT, Some(AMQPValue::LongLongInt(attempts.into()))),
                    (ERROR, Some(error_header(error))),
                    (DEAD_TIME, Some(AMQPValue::LongLongInt(Utc::now().timestamp_millis()))),
                ],
            ),
        };
        let Ok(routing_key) = short("the queue's name", &queue) else {
            tracing::error!(queue, "the queue's name is too long");
            return;
        };
        let properties = forwarded(&work.delivery.properties, changes);
        let id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        let mut backoff = Backoff::default();
        while work.is_ours() {
            let envelope = Envelope {
                id: &id,
                exchange: "".into(),
                routing_key: routing_key.clone(),
                properties: properties.clone(),
                body: work.body.clone(),
            };
            match self.publisher.forward(envelope).await {
                Ok(Outcome::Confirmed) => return acknowledge(&work.delivery).await,
                Ok(Outcome::Unroutable) => {
                    let _ = self.notes.try_send(Note::QueueMissing(queue.clone()));
                }
                Err(error) => tracing::warn!(%error, queue, "cannot move a message on"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}

async fn acknowledge(delivery: &Delivery) {
    match delivery.acker.ack(BasicAckOptions::default()).await {
        Ok(true) => {}
        // It comes again; the idempotency key of its effects takes care of that.
        Ok(false) => tracing::debug!("not acknowledged: the connection is lost"),
        Err(error) => tracing::debug!(%error, "not acknowledged"),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
