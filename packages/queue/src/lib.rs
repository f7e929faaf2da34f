//! Topic events over RabbitMQ: published with confirms, listened to with retries and dead letters.
//!
//! Delivery is at least once. What makes an effect happen once is its idempotency key, the event's id, in the commit
//! that a handler makes. Events of one key are handled in order inside a process as long as they succeed; one that
//! fails steps aside into a retry queue and is overtaken by those behind it.

mod broker;
mod depth;
mod error;
mod event;
mod lanes;
mod letters;
mod listener;
mod measure;
mod publisher;
mod settle;
mod topology;

pub use broker::Broker;
pub use error::{Error, Unfinished};
pub use event::{Event, Message};
pub use letters::{DeadLetter, DeadLetters, Pick};
pub use listener::{Drained, Failure, Handler, Listener, Subscription};
pub use publisher::{Lines, Outcome, Publisher};
pub use topology::Topology;
