//! The service over the real persist and PostgreSQL (`ARTEL_TEST_POSTGRES`), each test in a database of its own.

mod api;
mod codes;
mod devices;
mod guests;
mod sending;
mod telling;
mod world;
