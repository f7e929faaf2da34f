//! What ours is compared with, run in the same call.

pub mod confirms;
pub mod echo;
pub mod pgbench;
