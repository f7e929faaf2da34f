//! The sandbox of e-mail: a small honest SMTP server beside the mesh.
//!
//! It takes every message in, writes it to a ledger on disk before it answers 250, shows it on a page and
//! as JSON, and can be told to be slow, to refuse, or to hang up after it has kept a message. Its ledger is
//! what the tests of "one e-mail for each change" read: a message that arrives again for the same recipient
//! with the same Message-ID is kept once, as real mail stores do, and its `deliveries` count grows.
//!
//! ```text
//! smtp/     the conversation: commands, limits, faults
//! ledger    the append-only file; what was answered 250 is in it
//! store     the ledger folded into what a reader sees: duplicates suppressed, newest first
//! clerk     the one writer: many sessions' messages share one fsync
//! message   MIME to what people read
//! http/     the JSON API and the page
//! ```

mod clerk;
mod error;
mod faults;
mod http;
mod ledger;
mod mailbox;
mod message;
mod options;
mod smtp;
mod store;

pub use error::Error;
pub use faults::Faults;
pub use mailbox::{Mailbox, run};
pub use options::{Limits, MailboxArgs, Options};
