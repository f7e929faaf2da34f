//! Work in steps that outlives the process that does it: sagas.
//!
//! A [`Process`] declares its steps in one [`Table`] that reads top to bottom: what is done, how it is undone, how its
//! outcome is looked up. An [`Engine`] records each step before it is tried and does it with a key of its own, under a
//! lease; another copy goes on where one died. What must hold: each step's effect happens once if the saga ends done, and
//! not at all, or undone, if it ends undone.
//!
//! The record of a step's result and of the next step's beginning are one commit, in which the step's own changes and
//! events take part. It expects the version that the record before it left, so whoever lost the lease cannot write. That a
//! late call of theirs does no harm is up to what is called: it knows the step's key, and leaves a mark where it undid
//! what it never did.

mod engine;
mod mishap;
mod moves;
mod outcome;
mod refusal;
mod rules;
mod run;
mod table;

#[cfg(test)]
mod tests;

pub use artel_proto::process::{Saga, SagaState};
pub use engine::{Begin, Engine};
pub use mishap::{Mishap, Mishaps, Moment, Point, Way};
pub use outcome::Outcome;
pub use refusal::refusal;
pub use rules::Rules;
pub use table::{Process, Table, Turn};
