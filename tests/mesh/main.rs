//! What only the whole mesh can show: real processes, Envoy, Consul, RabbitMQ, PostgreSQL, Redis. `cargo xtask test`
//! starts it and names it in `ARTEL_ENDPOINTS`; a mesh that `cargo xtask up` started does as well.

// Nothing here is anything but a test.
#![allow(clippy::unwrap_used)]

mod access;
mod bad_input;
mod board;
mod catalogue;
mod chaos;
mod dining;
mod discovery;
mod edge;
mod flow;
mod grpc;
mod metrics;
mod operator;
mod reference;
mod relays;
mod replay;
mod restaurant;
mod shop;
mod sold_once;
mod support;
mod tokens;
mod traces;
mod webhooks;
