//! The queue against a real RabbitMQ: `ARTEL_TEST_RABBITMQ` names one (`cargo xtask components` starts it). Each test
//! has a topology of its own. The test that kills the broker starts its own.

#![allow(clippy::unwrap_used)] // In helpers of tests, which clippy doesn't take for tests.

mod failing;
mod flow;
mod losing;
mod node;
mod operating;
mod proxy;
mod world;
