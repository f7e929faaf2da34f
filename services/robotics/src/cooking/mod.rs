//! Cooking paid orders.
//!
//! ```text
//! rules   what an answer of the robot line makes of a job, pure
//! listen  a paid order becomes a job, and its reservation is used
//! attend  a job is handed to the line, and what the line says is written down and told
//! follow  the line is asked what changed, all the time
//! ```
//!
//! Any copy attends to any job: the line knows a job by its id and cooks it once, and what it says is written under the
//! version that was read. Each job has a time at which somebody looks after it whatever happens, so that nothing is lost
//! with a process, an answer or a change that was missed.

mod attend;
mod follow;
mod listen;
mod rules;

pub(crate) use attend::Cook;
pub(crate) use follow::follow;
pub(crate) use listen::Accept;
pub(crate) use rules::Pauses;
