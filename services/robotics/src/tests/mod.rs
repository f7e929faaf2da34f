//! The service over the real persist and PostgreSQL (`ARTEL_TEST_POSTGRES`), each test in a database of its own.

mod reserving;
mod stock;
mod world;
