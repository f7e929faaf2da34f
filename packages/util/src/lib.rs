//! What every crate needs and nothing more: ids, time, money, errors.

mod error;
mod id;
pub mod money;
pub mod time;

pub use error::{Error, Violation, metadata, reason};
pub use id::{is_id, new_id};
pub use time::now;
