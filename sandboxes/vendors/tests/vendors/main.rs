//! The sandboxes from outside: HTTP by a client that knows nothing of them.
#![allow(clippy::unwrap_used)]

mod all;
mod bank;
mod control;
mod push;
mod robots;
mod sms;
mod support;
