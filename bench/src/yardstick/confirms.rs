//! Raw publishing with lapin: messages as ours, nothing behind them, so many of them waiting for their confirms at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use futures::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation};
use uuid::Uuid;

use crate::broker::{Broker, EVENT};
use crate::cpu::Watched;
use crate::rounds::{Contender, Work};

/// Channels and confirms that wait on each: what is tried to find the best.
const TRIED: [(usize, usize); 8] =
    [(1, 250), (1, 500), (1, 1_000), (1, 2_000), (4, 125), (4, 250), (4, 500), (4, 1_000)];
/// Messages of a trial.
const TRIAL: u64 = 20_000;

/// A program that does nothing but publish.
pub struct Confirms<'a> {
    /// RabbitMQ, and what of it counts.
    pub broker: &'a Broker,
    pub rabbitmq: Watched,
    /// How many to publish in a round.
    pub rows: u64,
    /// How long a body is.
    pub body: usize,
    /// The best that was found.
    pub window: (usize, usize),
}

impl Confirms<'_> {
    /// Finds the best window.
    pub async fn find_best(&mut self) -> Result<()> {
        let mut best = 0.0;
        for tried in TRIED {
            self.broker.only_queue().await?;
            let begin = Instant::now();
            self.publish(tried, TRIAL).await?;
            let rate = TRIAL as f64 / begin.elapsed().as_secs_f64();
            let (channels, window) = tried;
            println!("  B7  raw confirms, {channels} channels of {window}: {rate:.0}/s");
            if rate > best {
                (best, self.window) = (rate, tried);
            }
        }
        Ok(())
    }

    async fn publish(&self, (channels, window): (usize, usize), count: u64) -> Result<()> {
        let body = vec![7_u8; self.body];
        let share = count / channels as u64;
        let lanes = (0..channels).map(|_| async {
            let channel = self.broker.channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            lane(&channel, window, share, &body).await?;
            channel.close(200, "OK".into()).await?;
            anyhow::Ok(())
        });
        try_join_all(lanes).await.map(drop)
    }
}

async fn lane(channel: &Channel, window: usize, count: u64, body: &[u8]) -> Result<()> {
    let exchange = Broker::exchange();
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let mut waiting = VecDeque::with_capacity(window);
    for number in 0..count {
        if waiting.len() == window {
            confirmed(waiting.pop_front()).await?;
        }
        let confirm = channel
            .basic_publish(exchange.as_str().into(), EVENT.into(), options, body, properties(number))
            .await?;
        waiting.push_back(confirm);
    }
    while !waiting.is_empty() {
        confirmed(waiting.pop_front()).await?;
    }
    Ok(())
}

async fn confirmed(confirm: Option<lapin::PublisherConfirm>) -> Result<()> {
    if let Some(confirm) = confirm {
        let confirmation = confirm.await?;
        anyhow::ensure!(matches!(confirmation, Confirmation::Ack(None)), "not confirmed: {confirmation:?}");
    }
    Ok(())
}

/// What an event of ours carries.
fn properties(number: u64) -> BasicProperties {
    let mut headers = FieldTable::default();
    let key = format!("k{}", number % 10_000);
    for (name, value) in [
        ("x-artel-event", EVENT),
        ("x-artel-key", key.as_str()),
        ("x-artel-workspace", crate::store::WORKSPACE),
        ("x-artel-user", "anna"),
        ("x-artel-service", "order"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
    ] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    headers.insert("x-artel-time".into(), AMQPValue::LongLongInt(1_700_000_000_000));
    BasicProperties::default()
        .with_message_id(Uuid::now_v7().to_string().into())
        .with_type("artel.order.v1.OrderPlaced".into())
        .with_content_type("application/x-protobuf".into())
        .with_delivery_mode(2)
        .with_timestamp(1_700_000_000)
        .with_headers(headers)
}

#[async_trait(?Send)]
impl Contender for Confirms<'_> {
    fn name(&self) -> &str {
        "raw confirms"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::own("program"), self.rabbitmq.clone()]
    }

    async fn reset(&mut self) -> Result<()> {
        self.broker.only_queue().await
    }

    async fn run(&mut self, _: Duration) -> Result<Work> {
        self.publish(self.window, self.rows).await?;
        Ok(Work { done: self.rows, ..Work::default() })
    }
}
