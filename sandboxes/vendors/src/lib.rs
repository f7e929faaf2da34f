//! Companies outside of the mesh, as small honest servers of their real APIs: each keeps a ledger of every effect it had
//! on the world, and misbehaves as it is told to.
//!
//! As a library in tests: `bank::start(bank::Options::default())` serves one on a free port until its handle is dropped.

mod all;
pub mod bank;
mod error;
mod kit;
mod major;
pub mod printer;
pub mod push;
pub mod robots;
pub mod sms;

pub use all::{SandboxesArgs, run};
pub use error::Error;
pub use kit::{Act, At, BadField, Entry, FaultBox, Faults, Running, Vendor};
