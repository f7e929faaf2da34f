//! What persist promises, tried on a real PostgreSQL.

#![allow(clippy::unwrap_used)]

mod away;
mod broker;
mod commit;
mod deadlines;
mod following;
mod group;
mod limits;
mod measures;
mod model;
mod once;
mod pipeline;
mod query;
mod race;
mod reads;
mod relay;
mod replay;
mod replica;
mod schema;
mod seal;
mod series;
mod shards;
mod support;
mod sweep;
mod tenancy;
mod trace;
mod watch;
mod wire;
