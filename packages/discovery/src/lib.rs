//! Consul: who runs where, and what operators set in its KV. A small typed client of the agent's HTTP API: the crates
//! there are for Consul lack agent checks or watches that drop the dead, and these few calls are all that Artel needs.

mod consul;
mod watch;

pub use consul::{Consul, Entry, Error, Instance, Registration};
pub use watch::{Entries, Instances, Services};
