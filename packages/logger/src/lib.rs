//! Log lines to Fluentd or Fluent Bit over the Forward protocol: a layer of `tracing-subscriber` that never waits, a
//! buffer that never grows beyond its bounds, and a sender that sends again what was not acknowledged.
//!
//! What the buffer takes arrives at least once, as long as the process lives and the receiver comes back in time.
//! Where the buffer is full, the oldest lines make room: when a receiver comes back after hours, what happens now is
//! worth more than how it began, and the console has had both. Every line that was dropped is counted.
//!
//! TLS and shared keys are not spoken: the receiver is the agent beside the process, which speaks both to others.

mod buffer;
mod forward;
mod layer;
mod record;
mod sender;

pub use buffer::Limits;
pub use layer::FluentLayer;
pub use sender::{Forwarder, Settings, start};
