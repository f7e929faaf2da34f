//! Which exchange and queues there are, what they are called and how they are declared.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

/// Names and arguments of everything declared in RabbitMQ. Publishers and listeners that are to meet agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
    retries: Vec<Duration>,
    delivery_limit: u32,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            prefix: "artel".to_owned(),
            retries: [1, 5, 30, 120, 600].map(Duration::from_secs).to_vec(),
            delivery_limit: 20,
        }
    }
}

impl Topology {
    /// The same under another prefix: a world of its own on a shared broker.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Other pauses before a failed message comes again; after the last one it is a dead letter.
    #[must_use]
    pub fn with_retries(mut self, retries: impl Into<Vec<Duration>>) -> Self {
        self.retries = retries.into();
        self
    }

    /// How often a message may come back unanswered, because its listener died or gave it back, before it is taken for
    /// one that kills listeners and becomes a dead letter. RabbitMQ has no default for it. It can't be changed on a
    /// queue that exists.
    #[must_use]
    pub fn with_delivery_limit(mut self, limit: u32) -> Self {
        self.delivery_limit = limit;
        self
    }

    /// The topic exchange every event goes through: `artel.events`.
    #[must_use]
    pub fn exchange(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The queue of a service: `artel.notify`.
    #[must_use]
    pub fn queue(&self, service: &str) -> String {
        format!("{}.{service}", self.prefix)
    }

    /// Where messages of a service wait before they come again: `artel.notify.retry.30s`.
    #[must_use]
    pub fn retry_queue(&self, service: &str, pause: Duration) -> String {
        format!("{}.{service}.retry.{}", self.prefix, label(pause))
    }

    /// Where messages of a service end that could not be handled: `artel.notify.dead`.
    #[must_use]
    pub fn dead_queue(&self, service: &str) -> String {
        format!("{}.{service}.dead", self.prefix)
    }

    /// The pauses before a failed message comes again.
    #[must_use]
    pub fn retries(&self) -> &[Duration] {
        &self.retries
    }

    pub(crate) async fn declare_exchange(&self, channel: &Channel) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let exchange = self.exchange().into();
        channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default()).await
    }

    /// Declares all that a service listens through. Declaring what exists changes nothing.
    pub(crate) async fn declare_service(
        &self,
        channel: &Channel,
        service: &str,
        events: impl IntoIterator<Item = &str>,
    ) -> lapin::Result<()> {
        self.declare_exchange(channel).await?;
        let (queue, dead) = (self.queue(service), self.dead_queue(service));
        declare(channel, &dead, Quorum::default()).await?;
        let limit = Some(self.delivery_limit);
        declare(channel, &queue, Quorum { delivery_limit: limit, dead_letters_to: Some(&dead), ttl: None })
            .await?;
        for &pause in &self.retries {
            let waiting = Quorum { ttl: Some(pause), dead_letters_to: Some(&queue), delivery_limit: None };
            declare(channel, &self.retry_queue(service, pause), waiting).await?;
        }
        for event in events {
            let (queue, exchange) = (queue.as_str().into(), self.exchange().into());
            let options = QueueBindOptions::default();
            channel.queue_bind(queue, exchange, event.into(), options, FieldTable::default()).await?;
        }
        Ok(())
    }
}

/// What a quorum queue of ours may be given.
#[derive(Default)]
struct Quorum<'a> {
    ttl: Option<Duration>,
    dead_letters_to: Option<&'a str>,
    delivery_limit: Option<u32>,
}

async fn declare(channel: &Channel, name: &str, quorum: Quorum<'_>) -> lapin::Result<()> {
    let mut arguments = FieldTable::default();
    let mut set = |key: &str, value: AMQPValue| {
        arguments.insert(key.into(), value);
    };
    let text = |value: &str| AMQPValue::LongString(value.into());
    set("x-queue-type", text("quorum"));
    if let Some(limit) = quorum.delivery_limit {
        set("x-delivery-limit", AMQPValue::LongLongInt(limit.into()));
    }
    if let Some(ttl) = quorum.ttl {
        let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        set("x-message-ttl", AMQPValue::LongLongInt(millis));
    }
    if let Some(target) = quorum.dead_letters_to {
        // Through the default exchange, straight into the queue of that name. At least once: the message leaves only
        // when the other queue confirmed it, which RabbitMQ allows where a full queue refuses rather than drops.
        set("x-dead-letter-exchange", text(""));
        set("x-dead-letter-routing-key", text(target));
        set("x-dead-letter-strategy", text("at-least-once"));
        set("x-overflow", text("reject-publish"));
    }
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.into(), options, arguments).await.map(drop)
}

/// `1s`, `2m`, `250ms`: the largest unit that says it exactly.
fn label(pause: Duration) -> String {
    let millis = pause.as_millis();
    match millis {
        _ if !millis.is_multiple_of(1000) => format!("{millis}ms"),
        _ if millis >= 60_000 && millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ => format!("{}s", millis / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_as_an_operator_expects_them() {
        let topology = Topology::default();
        assert_eq!(topology.exchange(), "artel.events");
        assert_eq!(topology.queue("notify"), "artel.notify");
        assert_eq!(topology.dead_queue("notify"), "artel.notify.dead");
        let names: Vec<String> =
            topology.retries().iter().map(|pause| topology.retry_queue("notify", *pause)).collect();
        let expected = ["1s", "5s", "30s", "2m", "10m"].map(|pause| format!("artel.notify.retry.{pause}"));
        assert_eq!(names, expected);
        assert_eq!(label(Duration::from_millis(250)), "250ms");
        assert_eq!(label(Duration::from_secs(90)), "90s");
    }
}
