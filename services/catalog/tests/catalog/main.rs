//! The catalogue behind the whole server stack, over the real persist and PostgreSQL (`ARTEL_TEST_POSTGRES`), each test
//! in a database and a workspace of its own. With `ARTEL_TEST_REDIS` the category tree is cached, without it is not.

#![allow(clippy::unwrap_used)] // In helpers of tests, which clippy doesn't take for tests.

mod feeds;
mod products;
mod search;
mod support;
