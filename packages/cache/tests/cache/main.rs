//! Against a real Redis: the one of `ARTEL_TEST_REDIS` or one of our own, and always our own where it is killed.
#![allow(clippy::unwrap_used)]

mod absence;
mod buckets;
mod caching;
mod support;
mod throttling;
