//! How one service calls another: who the call is made for ([`Call`]), and a channel over what discovery knows
//! ([`Channels`]) that chooses the less loaded of two, tries elsewhere what may be tried twice, and gives up in time.

mod budget;
mod call;
mod channel;
mod limits;
mod link;
mod meter;
mod names;
mod peer;
mod pool;
mod remembered;
mod token;

pub use artel_trace::Trace;
pub use call::{Call, User};
pub use channel::{Channel, Channels, OVERLOADED};
pub use limits::Limits;
pub use names::{CORRELATION_ID, REQUEST_ID, name};
pub use token::{CALL_HEADER, CallKey, TokenError};
