//! The edge as callers meet it: the gateway's own control plane, a real Envoy, and a small upstream.

#![allow(clippy::unwrap_used)]

mod envoy;
mod tokens;
mod upstream;

mod discovery;
mod errors;
mod protocol;
mod reach;
mod security;
mod streams;
