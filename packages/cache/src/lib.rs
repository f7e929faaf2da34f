//! Redis, as every service uses it: [`Cache`] keeps what is costly to ask for again, [`Throttle`] counts what may
//! happen so many times a window, [`Buckets`] ration what comes all the time. All work on when Redis is away, and say so:
//! once in the log, in the gauge `artel_redis_connected`, and in [`Redis::is_up`] for the health page.
//!
//! ```text
//! link      the connection, and the breaker that makes a dead Redis cost nothing
//! cache     cache-aside: one load at a time, leases against stale writes, versions against everything
//! throttle  an exact sliding window in one round trip
//! buckets   token buckets, many in one round trip
//! local     the window of this process, for when there is no other
//! ```

mod buckets;
mod cache;
mod link;
mod local;
mod throttle;

pub use buckets::{Bucket, Buckets, Level, Rate, Taken};
pub use cache::Cache;
pub use link::{OpenError, Redis, Timing};
pub use throttle::{Decision, LONGEST_WINDOW, MOST_HITS, OnFailure, Throttle};
