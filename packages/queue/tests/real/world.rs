//! A topology of one test's own, and what the tests say over and over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_config::Secret;
use artel_queue::{Broker, Event, Failure, Handler, Listener, Message, Publisher, Subscription, Topology};
use bytes::Bytes;
use chrono::{SubsecRound, Utc};
use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use tokio::time::Instant;

pub const SERVICE: &str = "listener";
pub const LIMIT: Duration = Duration::from_secs(30);

pub struct World {
    pub url: String,
    pub broker: Broker,
    pub topology: Topology,
}

impl World {
    pub fn new() -> Self {
        let url = std::env::var("ARTEL_TEST_RABBITMQ")
            .expect("ARTEL_TEST_RABBITMQ names a RabbitMQ to test with: see `cargo xtask components`");
        Self::at(&url)
    }

    pub fn at(url: &str) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let prefix = format!("test-{}", uuid::Uuid::now_v7().simple());
        let retries = [50, 100].map(Duration::from_millis);
        let topology = Topology::default().with_prefix(prefix).with_retries(retries);
        Self { url: url.to_owned(), broker: broker(url), topology }
    }

    pub async fn publisher(&self) -> Publisher {
        let publisher = Publisher::connect(&self.broker, &self.topology);
        publisher.ready(LIMIT).await.unwrap();
        publisher
    }

    pub fn subscription(&self) -> Subscription {
        Subscription::new(SERVICE, ["thing.made", "thing.lost"])
    }

    /// Starts listening and waits until the queue is there.
    pub async fn listen(&self, subscription: Subscription, handler: impl Handler) -> Listener {
        self.listen_through(&self.broker, subscription, handler).await
    }

    pub async fn listen_through(
        &self,
        broker: &Broker,
        subscription: Subscription,
        handler: impl Handler,
    ) -> Listener {
        let publisher = Publisher::connect(broker, &self.topology);
        let listener = Listener::start(broker, &self.topology, subscription, publisher, handler);
        let mut connected = listener.connected();
        tokio::time::timeout(LIMIT, connected.wait_for(|connected| *connected)).await.unwrap().unwrap();
        listener
    }

    pub async fn channel(&self) -> (lapin::Connection, lapin::Channel) {
        let connection = lapin::Connection::connect(&self.url, Default::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        (connection, channel)
    }

    /// Leaves the broker as it was.
    pub async fn clean(self) {
        let (_connection, channel) = self.channel().await;
        let mut queues = vec![self.topology.queue(SERVICE), self.topology.dead_queue(SERVICE)];
        queues.extend(self.topology.retries().iter().map(|pause| self.topology.retry_queue(SERVICE, *pause)));
        for queue in queues {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
        }
        let exchange = self.topology.exchange().into();
        channel.exchange_delete(exchange, ExchangeDeleteOptions::default()).await.unwrap();
    }
}

pub fn broker(url: &str) -> Broker {
    Broker::new(&Secret::new(url), "artel-queue test").unwrap()
}

pub fn made(key: &str, body: &str) -> Event {
    Event {
        id: uuid::Uuid::now_v7().to_string(),
        name: "thing.made".to_owned(),
        message_type: "test.v1.ThingMade".to_owned(),
        key: key.to_owned(),
        workspace: "workspace".to_owned(),
        actor_user: "user".to_owned(),
        actor_service: "maker".to_owned(),
        trace: String::new(),
        correlation: String::new(),
        expire: None,
        time: Utc::now().trunc_subsecs(3),
        replay: String::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

pub fn body(message: &Message) -> String {
    String::from_utf8(message.event.body.to_vec()).unwrap()
}

/// A handler that is a closure.
pub struct Does<F>(pub F);

#[async_trait::async_trait]
impl<F, Fut> Handler for Does<F>
where
    F: Fn(Message) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    async fn handle(&self, message: &Message) -> Result<(), Failure> {
        (self.0)(message.clone()).await
    }
}

/// What was seen so far, by everyone who holds a clone.
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Seen<T> {
    pub fn push(&self, one: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(one);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub async fn reaches(&self, count: usize) -> Vec<T> {
        eventually(&format!("{count} seen"), async || self.len() >= count).await;
        self.all()
    }
}

/// A handler that keeps what it gets and is content.
pub fn keeps(seen: &Seen<Message>) -> impl Handler + use<> {
    let seen = seen.clone();
    Does(move |message| {
        seen.push(message);
        async { Ok(()) }
    })
}

/// Waits for a condition.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
