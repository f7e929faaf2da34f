use std::time::Duration;

use crate::Outcome;

/// Why something did not reach the broker, or nothing could be read from it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not an AMQP URL.
    #[error("the address of RabbitMQ is not valid: {0}")]
    Address(String),
    /// There was no usable connection for as long as the caller was willing to wait.
    #[error("RabbitMQ is away (waited {0:?})")]
    Away(Duration),
    /// The broker did not answer in time.
    #[error("RabbitMQ did not answer within {0:?}")]
    Slow(Duration),
    /// The broker refused to keep the message (a negative confirm).
    #[error("RabbitMQ refused to keep the message")]
    Refused,
    /// A name or an id is longer than the 255 bytes AMQP has for it.
    #[error("{0} is longer than 255 bytes")]
    TooLong(&'static str),
    /// The client or the broker reported an error.
    #[error("RabbitMQ: {0}")]
    Client(#[from] lapin::Error),
}

/// A batch that was not confirmed as a whole. What has no outcome may or may not be in the queues: it is to be
/// published again, and listeners recognise a repeated event by its id.
#[derive(Debug, thiserror::Error)]
#[error("{} of {} events were not confirmed: {cause}", self.open(), self.outcomes.len())]
pub struct Unfinished {
    /// What is known, in the order of the batch.
    pub outcomes: Vec<Option<Outcome>>,
    /// The first thing that went wrong.
    #[source]
    pub cause: Error,
}

impl Unfinished {
    /// How many events are to be published again.
    #[must_use]
    pub fn open(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.is_none()).count()
    }
}
