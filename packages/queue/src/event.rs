//! An event on its way out and on its way in, and the AMQP properties it travels in.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::Error;

const CONTENT_TYPE: &str = "application/x-protobuf";
const PERSISTENT: u8 = 2;
const LONGEST_ERROR: usize = 1000;

const EVENT: &str = "x-artel-event";
const KEY: &str = "x-artel-key";
const WORKSPACE: &str = "x-artel-workspace";
const USER: &str = "x-artel-user";
const SERVICE: &str = "x-artel-service";
const TIME: &str = "x-artel-time";
const DEADLINE: &str = "x-artel-deadline";
const TRACE: &str = "traceparent";
/// The id of the replay that sent it once more.
const REPLAY: &str = "x-artel-replay";
/// How often handling has failed.
pub(crate) const ATTEMPT: &str = "x-artel-attempt";
/// How often handling was put off without having failed.
pub(crate) const POSTPONED: &str = "x-artel-postponed";
/// Why it failed last.
pub(crate) const ERROR: &str = "x-artel-error";
/// When it became a dead letter, in milliseconds since 1970.
pub(crate) const DEAD_TIME: &str = "x-artel-dead-time";

/// An event: what is published, and what its listeners hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event's id, a UUIDv7: listeners recognise a repeated event by it.
    pub id: String,
    /// Its name and routing key: `order.placed`.
    pub name: String,
    /// The full name of the protobuf message in `body`: `artel.order.v1.OrderPlaced`.
    pub message_type: String,
    /// The id of the entity it is about. Events of one key keep their order.
    pub key: String,
    /// Whose data it is about.
    pub workspace: String,
    /// On whose behalf it happened; empty where nobody was signed in.
    pub actor_user: String,
    /// Which service made it happen.
    pub actor_service: String,
    /// The W3C `traceparent` of the call that caused it; may be empty.
    pub trace: String,
    /// What that call was part of outside; may be empty.
    pub correlation: String,
    /// After this moment nobody wants to hear of it: listeners drop it.
    pub expire: Option<DateTime<Utc>>,
    /// When it happened.
    pub time: DateTime<Utc>,
    /// The id of the replay that sends it once more; empty the first time.
    pub replay: String,
    /// The protobuf bytes.
    pub body: Bytes,
}

impl Event {
    /// The trace's id out of its `traceparent`; empty where there is none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.trace.split('-').nth(1).unwrap_or_default()
    }

    /// What keeps its order: the entity, or the event alone where it is about none.
    pub(crate) fn lane(&self) -> &str {
        if self.key.is_empty() { &self.id } else { &self.key }
    }

    pub(crate) fn properties(&self) -> Result<BasicProperties, Error> {
        let mut headers = FieldTable::default();
        for (name, value) in [
            (EVENT, self.name.as_str()),
            (KEY, &self.key),
            (WORKSPACE, &self.workspace),
            (USER, &self.actor_user),
            (SERVICE, &self.actor_service),
            (TRACE, &self.trace),
            (REPLAY, &self.replay),
        ] {
            if !value.is_empty() {
                headers.insert(name.into(), AMQPValue::LongString(value.into()));
            }
        }
        headers.insert(TIME.into(), AMQPValue::LongLongInt(self.time.timestamp_millis()));
        if let Some(expire) = self.expire {
            headers.insert(DEADLINE.into(), AMQPValue::LongLongInt(expire.timestamp_millis()));
        }
        let properties = BasicProperties::default();
        let properties = match self.correlation.as_str() {
            "" => properties,
            correlation => properties.with_correlation_id(short("the correlation id", correlation)?),
        };
        Ok(properties
            .with_message_id(short("the event's id", &self.id)?)
            .with_type(short("the message type", &self.message_type)?)
            .with_content_type(CONTENT_TYPE.into())
            .with_delivery_mode(PERSISTENT)
            .with_timestamp(u64::try_from(self.time.timestamp()).unwrap_or_default())
            .with_headers(headers))
    }
}

/// An event as a listener gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub event: Event,
    /// 1 the first time, one more after each failure.
    pub attempt: u32,
    /// True where the broker gave it out before and got no answer.
    pub redelivered: bool,
}

impl Message {
    /// Reads a delivery; the error says what is missing in it.
    pub(crate) fn read(delivery: &mut Delivery) -> Result<Self, String> {
        let properties = &delivery.properties;
        let id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
        if id.is_empty() {
            return Err("the message has no message_id".to_owned());
        }
        // What was retried comes through the default exchange and has the queue's name as routing key.
        let name = text(properties, EVENT).unwrap_or_else(|| delivery.routing_key.to_string());
        let time = number(properties, TIME)
            .or_else(|| {
                properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok()?.checked_mul(1000))
            })
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_default();
        let attempt = u32::try_from(number(properties, ATTEMPT).unwrap_or_default()).unwrap_or_default();
        let event = Event {
            name,
            message_type: properties.kind().as_ref().map(ToString::to_string).unwrap_or_default(),
            key: text(properties, KEY).unwrap_or_default(),
            workspace: text(properties, WORKSPACE).unwrap_or_default(),
            actor_user: text(properties, USER).unwrap_or_default(),
            actor_service: text(properties, SERVICE).unwrap_or_default(),
            trace: text(properties, TRACE).unwrap_or_default(),
            correlation: properties.correlation_id().as_ref().map(ToString::to_string).unwrap_or_default(),
            replay: text(properties, REPLAY).unwrap_or_default(),
            expire: number(properties, DEADLINE).and_then(DateTime::from_timestamp_millis),
            time,
            body: Bytes::from(std::mem::take(&mut delivery.data)),
            id,
        };
        Ok(Self { event, attempt: attempt.saturating_add(1), redelivered: delivery.redelivered })
    }
}

/// The properties of a message that goes on to another queue: as they were, without what the broker noted on them and
/// with `changes` to our own headers (`None` removes one).
pub(crate) fn forwarded(
    properties: &BasicProperties,
    changes: impl IntoIterator<Item = (&'static str, Option<AMQPValue>)>,
) -> BasicProperties {
    let mut headers = properties.headers().as_ref().map(FieldTable::inner).cloned().unwrap_or_default();
    headers.retain(|name, _| {
        let name = name.as_str();
        name != "x-death" && name != "x-delivery-count" && !name.starts_with("x-first-death-")
    });
    for (name, value) in changes {
        match value {
            Some(value) => headers.insert(name.into(), value),
            None => headers.remove(name),
        };
    }
    // Persistent whoever published it: a message that waits must outlive the broker.
    properties.clone().with_delivery_mode(PERSISTENT).with_headers(headers.into())
}

/// An error as a header: bounded, so that it fits into a frame with all the rest.
pub(crate) fn error_header(error: &str) -> AMQPValue {
    let end = (0..=error.len().min(LONGEST_ERROR)).rev().find(|end| error.is_char_boundary(*end));
    AMQPValue::LongString(error[..end.unwrap_or_default()].into())
}

pub(crate) fn text(properties: &BasicProperties, name: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    }
}

pub(crate) fn number(properties: &BasicProperties, name: &str) -> Option<i64> {
    match *properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::LongLongInt(value) => Some(value),
        AMQPValue::LongInt(value) => Some(value.into()),
        AMQPValue::LongUInt(value) => Some(value.into()),
        AMQPValue::ShortInt(value) => Some(value.into()),
        AMQPValue::ShortUInt(value) => Some(value.into()),
        _ => None,
    }
}

pub(crate) fn short(what: &'static str, value: &str) -> Result<ShortString, Error> {
    ShortString::try_new(value).map_err(|_| Error::TooLong(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing() -> Event {
        Event {
            id: "0193".to_owned(),
            name: "order.placed".to_owned(),
            message_type: "artel.order.v1.OrderPlaced".to_owned(),
            key: "order-1".to_owned(),
            workspace: "w".to_owned(),
            actor_user: String::new(),
            actor_service: "order".to_owned(),
            trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
            correlation: "checkout-5".to_owned(),
            expire: DateTime::from_timestamp_millis(2_000_000_000_123),
            time: DateTime::from_timestamp_millis(1_700_000_000_456).unwrap(),
            replay: "0194".to_owned(),
            body: Bytes::from_static(b"body"),
        }
    }

    fn delivery(routing_key: &str, properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), routing_key.into(), false, b"body".to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn what_goes_out_comes_in() {
        let sent = outgoing();
        let got = Message::read(&mut delivery("artel.notify", sent.properties().unwrap())).unwrap();
        assert_eq!(got, Message { event: sent, attempt: 1, redelivered: false });
    }

    #[test]
    fn what_an_event_is_part_of_goes_on_with_it() {
        let again = forwarded(&outgoing().properties().unwrap(), []);
        assert_eq!(again.correlation_id().as_ref().map(ToString::to_string).as_deref(), Some("checkout-5"));
    }

    #[test]
    fn a_message_without_an_id_is_not_an_event() {
        assert!(Message::read(&mut delivery("order.placed", BasicProperties::default())).is_err());
    }

    #[test]
    fn forwarding_keeps_ours_and_drops_the_brokers_notes() {
        let mut noted = outgoing().properties().unwrap().headers().clone().unwrap();
        noted.insert("x-death".into(), AMQPValue::Boolean(true));
        noted.insert("x-first-death-queue".into(), AMQPValue::Boolean(true));
        noted.insert(ERROR.into(), error_header("old"));
        let properties = BasicProperties::default().with_message_id("1".into()).with_headers(noted);
        let changes = [(ATTEMPT, Some(AMQPValue::LongLongInt(2))), (ERROR, None)];
        let out = forwarded(&properties, changes);
        assert_eq!(text(&out, EVENT).as_deref(), Some("order.placed"));
        assert_eq!((number(&out, ATTEMPT), text(&out, ERROR)), (Some(2), None));
        assert!(!out.headers().as_ref().unwrap().contains_key("x-death"));
        assert!(!out.headers().as_ref().unwrap().contains_key("x-first-death-queue"));
        assert_eq!(*out.delivery_mode(), Some(PERSISTENT));
    }

    #[test]
    fn an_error_is_cut_between_characters() {
        let AMQPValue::LongString(cut) = error_header(&"я".repeat(2000)) else { panic!("not a text") };
        assert!(cut.len() <= LONGEST_ERROR && cut.to_string().chars().all(|c| c == 'я'));
    }

    #[test]
    fn names_that_amqp_cannot_carry_are_refused() {
        let long = Event { id: "x".repeat(256), ..outgoing() };
        assert!(matches!(long.properties(), Err(Error::TooLong(_))));
    }
}
