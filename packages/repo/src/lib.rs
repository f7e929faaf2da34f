//! The typed way to persist: [`Repo`] finds entities and commits batches of changes ([`Commit`]) through `persist`.

mod commit;
mod query;
mod repo;

pub use commit::{Commit, Committed, Delta, digest};
pub use query::{Buckets, Direction, Filter, Group, Measure, Page, Query, Val};
pub use repo::Repo;
