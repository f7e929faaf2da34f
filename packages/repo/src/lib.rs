//! The typed way to persist: [`Repo`] finds entities, commits batches of changes ([`Commit`]) and watches what others
//! change ([`Watch`]) through `persist`.

mod commit;
mod query;
mod repo;
mod watch;

pub use commit::{Commit, Committed, Delta, digest};
pub use query::{Buckets, Direction, Filter, Group, Measure, Page, Query, Val};
pub use repo::Repo;
pub use watch::{Change, Changes, Watch};
