//! The service over the real persist and PostgreSQL (`ARTEL_TEST_POSTGRES`), each test in a database of its own, and
//! over the sandbox of the robot line.

mod cooking;
mod copy;
mod killed;
mod reserving;
mod stock;
mod world;
