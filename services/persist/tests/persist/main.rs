//! What persist promises, tried on a real PostgreSQL.

mod away;
mod commit;
mod once;
mod query;
mod race;
mod relay;
mod schema;
mod support;
mod tenancy;
