//! The service over the real persist, kitchen and Redis (`ARTEL_TEST_POSTGRES`, `ARTEL_TEST_REDIS`), each test in a database
//! of its own.

mod availability;
mod editing;
mod freshness;
mod world;
