//! The mailbox from outside: clients that we did not write, real sockets, real files, real kills.
#![allow(clippy::unwrap_used)]

mod conversation;
mod durability;
mod faults;
mod reading;
mod support;
mod suppression;
