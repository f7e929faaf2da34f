//! The service over the real persist and PostgreSQL (`ARTEL_TEST_POSTGRES`), each test in a database of its own.

mod earning;
mod holds;
mod races;
mod world;
