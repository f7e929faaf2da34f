//! The robot line: what cooks.

mod http;
mod wire;

use std::time::Duration;

use artel_proto::robotics::{Portion, RecipeStep};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub(crate) use http::HttpLine;

/// What cooks orders. It knows each by the id of its cooking job, and cooks what it knows already no second time.
#[async_trait]
pub(crate) trait RobotLine: Send + Sync + 'static {
    /// Has an order cooked, or says how far one is that it has, whatever is asked for under its id now.
    async fn cook(&self, order: &Order) -> Result<Progress, Trouble>;

    /// How far an order is; `None` where the line does not know it.
    async fn find(&self, id: &str) -> Result<Option<Progress>, Trouble>;

    /// Begins an order again that broke down.
    async fn restart(&self, id: &str) -> Result<Progress, Trouble>;

    /// What changed after this point; waits so long for something to change.
    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes, Trouble>;
}

/// What is to be cooked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) dishes: Vec<Dish>,
    /// What was set aside for all of it.
    pub(crate) ingredients: Vec<Portion>,
}

/// A dish of an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dish {
    pub(crate) dish_id: String,
    pub(crate) name: String,
    pub(crate) quantity: i32,
    pub(crate) steps: Vec<RecipeStep>,
}

/// How far an order is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) id: String,
    pub(crate) state: State,
    /// When cooking began, by the line's clock.
    pub(crate) start: Option<DateTime<Utc>>,
    /// When it was ready, by the same clock.
    pub(crate) finish: Option<DateTime<Utc>>,
    /// What broke.
    pub(crate) error: String,
}

/// Where an order stands in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for a station.
    Queued,
    Cooking,
    Done,
    /// Somebody has to ask for it again.
    Broken,
}

/// What changed, and the point up to which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) jobs: Vec<Progress>,
    pub(crate) cursor: u64,
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// It does not answer, or its answer was lost: it may have done what it was asked for.
    #[error("the robot line does not answer: {0}")]
    Away(String),
    /// It does not take this.
    #[error("the robot line refuses: {0}")]
    Refused(String),
}
