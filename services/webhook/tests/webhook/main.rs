//! The door over a real `persist`, and a bank whose service judges what comes through it.

#![allow(clippy::unwrap_used)]

mod bank;
mod keeping;
mod listing;
mod owning;
mod refusing;
mod world;
