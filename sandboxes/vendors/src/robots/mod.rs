//! A line of cooking robots: it takes jobs, cooks each on one of its stations, step by step, and tells of every change to
//! whoever asks what changed after a place in its ledger.

mod api;
mod cook;
mod jobs;

use std::sync::Arc;

use tokio::sync::Notify;

pub use self::jobs::{Dish, Effect, Ingredient, Job, Robots, Step};
use crate::{
    Error,
    kit::{self, At, Desk, Running},
};

/// Where the line listens and what it is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub at: At,
    /// So many jobs cook at once.
    pub stations: usize,
    /// How many times faster than real robots it is; more than 0.
    pub speed: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { at: At::default(), stations: 8, speed: 1.0 }
    }
}

/// The line, as its API and its robots see it.
pub(crate) struct Line {
    desk: Arc<Desk<Robots>>,
    options: Options,
    /// Wakes whoever waits for a change.
    changed: Notify,
}

/// Serves until the handle is dropped.
///
/// # Errors
/// The port is taken, or the ledger cannot be read.
pub async fn start(options: Options) -> Result<Running<Robots>, Error> {
    let desk = Desk::open(&options.at)?;
    let at = options.at.clone();
    let line = Arc::new(Line { desk: desk.clone(), options, changed: Notify::new() });
    let running = kit::start(&at, desk, api::routes(line.clone())).await?;
    Ok(running.with(cook::cook(line)))
}
