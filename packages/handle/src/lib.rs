//! What makes a process a service: the server stack, who calls, deadlines, discovery, health, events, drain.
//!
//! A service says what it is with [`Service`], given a [`Host`]; [`serve`] runs one or all of them in a process.

mod access;
mod admission;
#[cfg(test)]
mod admission_tests;
mod api;
#[cfg(test)]
mod asked_tests;
mod authenticate;
mod created;
mod deadline;
#[cfg(test)]
mod discovery_tests;
mod door;
mod exemplars;
mod health;
mod host;
mod job;
mod keys;
mod lag;
mod listen;
mod logs;
mod measure;
mod methods;
mod process;
mod quote;
mod reflection;
mod registration;
mod serve;
mod service;
mod settings;
#[cfg(test)]
mod settings_tests;
mod stack;
#[cfg(test)]
mod stack_tests;
pub mod testing;
mod threads;
mod traces;

pub use access::Access;
pub use api::Api;
pub use artel_client::{Call, User};
pub use artel_config::{Section, Shape};
pub use created::created;
pub use host::{Host, MESH_DEFAULTS, MESH_SECTION, Mesh};
pub use job::Job;
pub use keys::{Claims, Keys};
pub use listen::{Delivery, Listener};
pub use logs::init as init_logs;
pub use serve::{Blueprint, serve, told_to_stop};
pub use service::Service;
pub use settings::Live;
pub use threads::runtime;
pub use tokio_util::sync::CancellationToken;
