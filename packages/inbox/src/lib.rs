//! What systems outside sent, for the service that owns them: the bytes as they came ([`Inbox`], [`Received`]) and the
//! check of their signature ([`Signature`]).
//!
//! A service that owns a source listens to `webhook.received`, and for each of its own sources: opens it, checks the
//! signature over the raw bytes, commits what follows once for [`Received::key`], and then accepts it. One
//! that is forged it rejects, which is an end, too: nothing is gained by trying again.

mod inbox;
mod signature;

pub use inbox::{Inbox, Received};
pub use signature::{Encoding, Forged, Hash, Signature};
