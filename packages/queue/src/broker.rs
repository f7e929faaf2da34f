//! How the broker is reached: the address, a connection with a time limit, and growing pauses between attempts.

use std::str::FromStr;
use std::time::Duration;

use artel_config::Secret;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};

use crate::Error;

/// A broker that stops answering is noticed after about two of these.
const HEARTBEAT_SECONDS: u16 = 10;
const CONNECT: Duration = Duration::from_secs(10);

/// Where RabbitMQ is, and under which name we are seen there.
#[derive(Clone)]
pub struct Broker {
    uri: AMQPUri,
    name: String,
}

impl std::fmt::Debug for Broker {
    // Without the address: it holds the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("host", &self.uri.authority.host).field("name", &self.name).finish()
    }
}

impl Broker {
    /// From an address such as `amqp://user:password@host:5672/%2f`; `name` is what RabbitMQ's UI shows.
    ///
    /// # Errors
    /// [`Error::Address`] where it is no AMQP URL.
    pub fn new(url: &Secret, name: impl Into<String>) -> Result<Self, Error> {
        let mut uri = AMQPUri::from_str(url.reveal()).map_err(Error::Address)?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self { uri, name: name.into() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The same broker, seen there under a longer name.
    pub(crate) fn named(&self, suffix: &str) -> Self {
        Self { uri: self.uri.clone(), name: format!("{} {suffix}", self.name) }
    }

    /// A new connection. It is never repaired in place: whoever holds it opens another, and with it the topology.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.clone().into());
        within(CONNECT, Connection::connect_uri(self.uri.clone(), properties)).await
    }
}

/// Bounds a conversation with the broker.
pub(crate) async fn within<T>(
    limit: Duration,
    talk: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, talk).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Error::Slow(limit)),
    }
}

/// Pauses that double from 100 ms to 5 s, each shortened at random so that a restarted broker isn't stormed.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    pub fn next(&mut self) -> Duration {
        let pause = Self::FIRST.saturating_mul(1 << self.failures.min(16)).min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= Backoff::FIRST);
        assert!(pauses.iter().all(|pause| *pause <= Backoff::LONGEST));
        assert!(pauses[39] >= Backoff::LONGEST / 2);
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }

    #[test]
    fn the_password_is_not_shown() {
        let broker = Broker::new(&Secret::new("amqp://me:hunter2@localhost:5672/%2f"), "test").unwrap();
        assert!(!format!("{broker:?}").contains("hunter2"));
        assert!(matches!(Broker::new(&Secret::new("http://localhost"), "test"), Err(Error::Address(_))));
    }
}
