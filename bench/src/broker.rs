//! RabbitMQ as a figure needs it: one quorum queue for the events of orders, alone.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use artel_queue::Topology;
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use uuid::Uuid;

/// The queue, and the event that it takes.
pub const QUEUE: &str = "artel.bench";
pub const EVENT: &str = "order.placed";
/// Deliveries that a consumer holds at once.
const IN_HAND: u16 = 2_000;
/// Acknowledged together.
const ACKNOWLEDGED: u64 = 500;
/// How often the depth is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A connection.
pub struct Broker {
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// Connects.
    pub async fn connect(url: &str) -> Result<Self> {
        let connection =
            Connection::connect(url, ConnectionProperties::default()).await.context("RabbitMQ")?;
        let channel = connection.create_channel().await?;
        Ok(Self { connection, channel })
    }

    /// The exchange of all events.
    pub fn exchange() -> String {
        Topology::default().exchange()
    }

    /// An empty queue for the events of orders, and none beside it that other figures left.
    pub async fn only_queue(&self) -> Result<()> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = Self::exchange();
        self.channel
            .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, FieldTable::default())
            .await?;
        for service in ["notify", "probe"] {
            self.delete(&Topology::default().queue(service)).await?;
        }
        self.delete(QUEUE).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(QUEUE.into(), options, arguments).await?;
        let options = QueueBindOptions::default();
        let queue = QUEUE.into();
        self.channel
            .queue_bind(queue, exchange.as_str().into(), EVENT.into(), options, FieldTable::default())
            .await?;
        Ok(())
    }

    /// Deletes a queue, if there is one.
    pub async fn delete(&self, queue: &str) -> Result<()> {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }

    /// A channel of its own.
    pub async fn channel(&self) -> Result<Channel> {
        Ok(self.connection.create_channel().await?)
    }

    /// Messages that wait in the queue.
    pub async fn depth(&self) -> Result<u64> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = self.channel.queue_declare(QUEUE.into(), options, FieldTable::default()).await?;
        Ok(queue.message_count().into())
    }

    /// Waits until so many messages lie there.
    pub async fn filled(&self, with: u64, patience: Duration) -> Result<Instant> {
        let end = Instant::now() + patience;
        loop {
            let depth = self.depth().await?;
            if depth >= with {
                return Ok(Instant::now());
            }
            anyhow::ensure!(Instant::now() < end, "{depth} of {with} events came in {patience:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes messages from the queue until so many different ones were seen; tells how many each time. How many came
    /// more than once.
    pub async fn consume(&self, distinct: usize, mut seen: impl FnMut(usize)) -> Result<u64> {
        let channel = self.channel().await?;
        channel.basic_qos(IN_HAND, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume(QUEUE.into(), "bench".into(), options, FieldTable::default()).await?;
        let (mut ids, mut again) = (HashSet::with_capacity(distinct), 0);
        while ids.len() < distinct {
            let delivery = consumer.next().await.context("RabbitMQ ended the consumer")??;
            let id = delivery.properties.message_id().as_ref().context("a message without an id")?;
            if !ids.insert(Uuid::try_parse(id.as_str())?) {
                again += 1;
            }
            if delivery.delivery_tag.is_multiple_of(ACKNOWLEDGED) || ids.len() == distinct {
                delivery.acker.ack(BasicAckOptions { multiple: true }).await?;
            }
            seen(ids.len());
        }
        Ok(again)
    }
}
