//! The edge as callers meet it: the gateway's own control plane, a real Envoy, and a small upstream.

#![allow(clippy::unwrap_used)]

mod envoy;
mod tokens;
mod upstream;

mod compression;
mod discovery;
mod errors;
mod ids;
mod limits;
mod protocol;
mod reach;
mod redis;
mod security;
mod streams;
mod tls;
