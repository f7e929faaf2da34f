//! What a service does when others speak: its handlers behind one queue.

use std::collections::HashMap;
use std::sync::Arc;

use artel_client::{Call, Trace, User, name};
use artel_proto::Event;
use artel_queue::{Failure, Handler, Message};
use artel_trace::{Kind, Span};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Does what one kind of event asks for. What it changes must be committed with [`Delivery::key`] as idempotency key
/// when it returns: the same event may come again, also to another copy of the service.
#[async_trait]
pub trait Listener<E: Event>: Send + Sync + 'static {
    /// Handles one event.
    ///
    /// # Errors
    /// A [`Failure`]; an [`artel_util::Error`] becomes one with `?`: tried later while something is away, else tried
    /// again with growing pauses and put aside after the last.
    async fn hear(&self, delivery: &Delivery, event: E) -> Result<(), Failure>;
}

/// An event that arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Acts as this service in the event's workspace and trace, for the person whose doing it was.
    pub call: Call,
    /// The event's id.
    pub event_id: String,
    /// The event's name: `order.placed`.
    pub event: String,
    /// 1 the first time, one more after each failure.
    pub attempt: u32,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// True where an operator had it sent once more.
    pub is_replay: bool,
}

impl Delivery {
    /// The idempotency key for what this service does about this event.
    #[must_use]
    pub fn key(&self) -> String {
        format!("event/{}/{}", self.call.service, self.event_id)
    }
}

#[async_trait]
pub(crate) trait AnyListener: Send + Sync {
    async fn hear(&self, delivery: &Delivery, message: &Message) -> Result<(), Failure>;
}

pub(crate) struct Typed<E, L>(pub(crate) L, pub(crate) std::marker::PhantomData<fn(E)>);

#[async_trait]
impl<E: Event, L: Listener<E>> AnyListener for Typed<E, L> {
    async fn hear(&self, delivery: &Delivery, message: &Message) -> Result<(), Failure> {
        if message.event.message_type != E::TYPE {
            return Err(Failure::Permanent(format!(
                "the body is {}, not {}",
                message.event.message_type,
                E::TYPE
            )));
        }
        let event =
            E::decode(message.event.body.clone()).map_err(|error| Failure::Permanent(error.to_string()))?;
        self.0.hear(delivery, event).await
    }
}

/// A service's listeners by the names of their events.
#[derive(Clone, Default)]
pub(crate) struct Listeners {
    pub(crate) service: &'static str,
    pub(crate) by_event: HashMap<&'static str, Arc<dyn AnyListener>>,
}

#[async_trait]
impl Handler for Listeners {
    async fn handle(&self, message: &Message) -> Result<(), Failure> {
        let event = &message.event;
        let Some(listener) = self.by_event.get(event.name.as_str()) else {
            return Err(Failure::Permanent(format!("{} does not listen to {}", self.service, event.name)));
        };
        let mut call = Call::by_service(self.service, &event.workspace);
        if !event.actor_user.is_empty() {
            // Whose doing it was, for the record; no roles: what listens acts with the service's own rights.
            call.user = Some(User { id: event.actor_user.clone(), roles: Vec::new(), locale: String::new() });
        }
        if let Some(trace) = Trace::parse(&event.trace) {
            call.trace = trace.child();
        }
        call.correlation = name(&event.correlation);
        let delivery = Delivery {
            call,
            event_id: event.id.clone(),
            event: event.name.clone(),
            attempt: message.attempt,
            time: event.time,
            is_replay: !event.replay.is_empty(),
        };
        let mut step = Span::begin(self.service, &delivery.call.trace, Kind::Consumer, &event.name);
        step.set("messaging.system", "rabbitmq");
        step.set("messaging.message.id", event.id.clone());
        step.set("artel.attempt", i64::from(message.attempt));
        let heard = listener.hear(&delivery, message).await;
        match &heard {
            Ok(()) => step.done(),
            Err(failure) => step.failed(format!("{failure:?}")),
        }
        heard
    }
}
