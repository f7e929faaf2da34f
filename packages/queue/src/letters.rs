//! Dead letters, for operators: look at them, send them to their service again, or throw them away.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation};

use crate::broker::within;
use crate::event::{ATTEMPT, DEAD_TIME, ERROR, Message, POSTPONED, forwarded, number, text};
use crate::{Broker, Error, Topology};

const TALK: Duration = Duration::from_secs(10);

/// A message that its service could not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The event's id; empty where the message has none.
    pub id: String,
    /// Why it is here: the last error, or RabbitMQ's reason, such as `delivery_limit`.
    pub error: String,
    /// How often handling it was tried and failed.
    pub attempts: u32,
    /// Since when it is here; absent where RabbitMQ put it here itself.
    pub since: Option<DateTime<Utc>>,
    /// How many bytes its body has.
    pub size: usize,
    /// The event; absent where the message is none.
    pub message: Option<Message>,
}

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All there are at this moment.
    All,
    /// Those with these event ids.
    Ids(Vec<String>),
}

impl Pick {
    fn takes(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.iter().any(|one| one == id),
        }
    }
}

/// The dead-letter queues. Each call opens a connection of its own; letters it doesn't take stay where they are.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    broker: Broker,
    topology: Topology,
}

impl DeadLetters {
    /// Of that broker.
    #[must_use]
    pub fn new(broker: &Broker, topology: &Topology) -> Self {
        Self { broker: broker.named("operator"), topology: topology.clone() }
    }

    /// Letters of a service, `limit` at most, the oldest of them first. RabbitMQ puts what was only looked at behind the
    /// others, so a second look with a small limit shows others.
    ///
    /// # Errors
    /// Where the broker is away or the service has no queues.
    pub async fn peek(&self, service: &str, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = Vec::new();
        self.walk(service, limit, async |_, delivery| {
            letters.push(read(delivery));
            Ok(false)
        })
        .await?;
        letters.sort_by(|a: &DeadLetter, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        Ok(letters)
    }

    /// Sends letters to their service again, as if for the first time. Says how many.
    ///
    /// # Errors
    /// Where the broker is away or the service has no queues. What was sent before stays sent.
    pub async fn redrive(&self, service: &str, pick: &Pick) -> Result<usize, Error> {
        let queue = self.topology.queue(service);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        self.walk(service, usize::MAX, async |channel, delivery| {
            if !pick.takes(&id(delivery)) {
                return Ok(false);
            }
            let fresh = [ATTEMPT, POSTPONED, ERROR, DEAD_TIME].map(|header| (header, None));
            let properties = forwarded(&delivery.properties, fresh);
            let key = queue.as_str().into();
            let sent = async {
                channel.basic_publish("".into(), key, options, &delivery.data, properties).await?.await
            };
            match within(TALK, sent).await? {
                Confirmation::Ack(None) => Ok(true),
                _ => Err(Error::Refused),
            }
        })
        .await
    }

    /// Throws letters away. Says how many.
    ///
    /// # Errors
    /// Where the broker is away or the service has no queues.
    pub async fn discard(&self, service: &str, pick: &Pick) -> Result<usize, Error> {
        self.walk(service, usize::MAX, async |_, delivery| Ok(pick.takes(&id(delivery)))).await
    }

    /// Takes up to `limit` letters in hand, removes those that `take` is done with, and gives back the others
    /// by closing the connection.
    async fn walk(
        &self,
        service: &str,
        limit: usize,
        mut take: impl AsyncFnMut(&Channel, &Delivery) -> Result<bool, Error>,
    ) -> Result<usize, Error> {
        let dead = self.topology.dead_queue(service);
        let connection = self.broker.connect().await?;
        let setup = async {
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            let passive = QueueDeclareOptions { passive: true, ..Default::default() };
            let queue = channel.queue_declare(dead.as_str().into(), passive, FieldTable::default()).await?;
            lapin::Result::Ok((channel, queue.message_count()))
        };
        let (channel, there) = within(TALK, setup).await?;
        let mut taken = 0;
        for _ in 0..limit.min(usize::try_from(there).unwrap_or(usize::MAX)) {
            let get = channel.basic_get(dead.as_str().into(), BasicGetOptions::default());
            let Some(letter) = within(TALK, get).await? else { break };
            if take(&channel, &letter.delivery).await? {
                within(TALK, letter.delivery.acker.ack(BasicAckOptions::default())).await?;
                taken += 1;
            }
        }
        within(TALK, connection.close(200, "OK".into())).await?;
        Ok(taken)
    }
}

fn id(delivery: &Delivery) -> String {
    delivery.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}

fn read(delivery: &Delivery) -> DeadLetter {
    let properties = &delivery.properties;
    let mut copy = Delivery::mock(
        delivery.delivery_tag,
        delivery.exchange.clone(),
        delivery.routing_key.clone(),
        delivery.redelivered,
        delivery.data.clone(),
    );
    copy.properties = properties.clone();
    DeadLetter {
        id: id(delivery),
        error: text(properties, ERROR)
            .or_else(|| text(properties, "x-first-death-reason"))
            .unwrap_or_default(),
        attempts: u32::try_from(number(properties, ATTEMPT).unwrap_or_default()).unwrap_or_default(),
        since: number(properties, DEAD_TIME).and_then(DateTime::from_timestamp_millis),
        size: delivery.data.len(),
        message: Message::read(&mut copy).ok(),
    }
}
