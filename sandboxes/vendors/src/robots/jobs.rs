//! Jobs and what became of them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::kit::{Entry, Vendor};

/// Something that happened on the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// A job came in.
    Queued { job: Job, breaks: bool, told_twice: bool },
    /// A station began it.
    Started { external_id: String },
    /// It is cooked.
    Done { external_id: String },
    /// The station broke down in it.
    Broken { external_id: String, error: String },
    /// Somebody had it begun anew.
    Restarted { external_id: String },
    /// Its state was told once more, though nothing changed.
    Repeated { external_id: String },
}

impl Effect {
    /// The job that it is about.
    pub fn external_id(&self) -> &str {
        match self {
            Self::Queued { job, .. } => &job.external_id,
            Self::Started { external_id }
            | Self::Done { external_id }
            | Self::Broken { external_id, .. }
            | Self::Restarted { external_id }
            | Self::Repeated { external_id } => external_id,
        }
    }
}

/// What is to be cooked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The restaurant's key.
    pub external_id: String,
    pub dishes: Vec<Dish>,
    #[serde(default)]
    pub ingredients: Vec<Ingredient>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dish {
    pub dish_id: String,
    pub name: String,
    pub quantity: u32,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub action: String,
    pub seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    pub id: String,
    pub amount: i64,
}

impl Job {
    /// How long one station needs for all of it, at the speed of real robots.
    pub(crate) fn takes(&self) -> Duration {
        let dish = |dish: &Dish| {
            let seconds: u64 = dish.steps.iter().map(|step| u64::from(step.seconds)).sum();
            seconds.saturating_mul(dish.quantity.into())
        };
        Duration::from_secs(self.dishes.iter().map(dish).fold(0, u64::saturating_add))
    }
}

/// The line's memory.
#[derive(Debug, Default)]
pub struct Robots {
    jobs: HashMap<String, Known>,
    /// Each job once, by the place of its last change.
    changes: BTreeMap<u64, String>,
    queue: VecDeque<String>,
    cooking: Vec<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub job: Job,
    pub status: Status,
    pub started: Option<DateTime<Utc>>,
    pub finished: Option<DateTime<Utc>>,
    pub error: Option<String>,
    pub changed: u64,
    pub breaks: bool,
    pub told_twice: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Queued,
    Cooking,
    Done,
    Broken,
}

impl Vendor for Robots {
    const NAME: &'static str = "robots";
    type Effect = Effect;

    fn apply(&mut self, entry: &Entry<Effect>) {
        let id = entry.effect.external_id().to_owned();
        if let Effect::Queued { job, breaks, told_twice } = &entry.effect {
            let known = Known {
                job: job.clone(),
                status: Status::Queued,
                started: None,
                finished: None,
                error: None,
                changed: entry.number,
                breaks: *breaks,
                told_twice: *told_twice,
            };
            self.jobs.insert(id.clone(), known);
            self.queue.push_back(id.clone());
            self.changes.insert(entry.number, id);
            return;
        }
        let Some(known) = self.jobs.get_mut(&id) else { return };
        self.changes.remove(&known.changed);
        self.changes.insert(entry.number, id.clone());
        known.changed = entry.number;
        match &entry.effect {
            Effect::Started { .. } => {
                known.status = Status::Cooking;
                known.started = Some(entry.time);
                self.queue.retain(|queued| *queued != id);
                self.cooking.push(id);
            }
            Effect::Done { .. } => {
                known.status = Status::Done;
                known.finished = Some(entry.time);
                self.cooking.retain(|cooking| *cooking != id);
            }
            Effect::Broken { error, .. } => {
                known.status = Status::Broken;
                known.error = Some(error.clone());
                known.breaks = false;
                self.cooking.retain(|cooking| *cooking != id);
            }
            Effect::Restarted { .. } => {
                known.status = Status::Queued;
                known.started = None;
                known.error = None;
                self.queue.push_back(id);
            }
            Effect::Repeated { .. } => known.told_twice = false,
            Effect::Queued { .. } => {}
        }
    }
}

impl Robots {
    pub(crate) fn job(&self, external_id: &str) -> Option<&Known> {
        self.jobs.get(external_id)
    }

    /// Jobs that changed after a place, in the order of their last changes.
    pub(crate) fn changed_after(&self, place: u64) -> impl Iterator<Item = &Known> {
        self.changes.range(place.saturating_add(1)..).filter_map(|(_, id)| self.jobs.get(id))
    }

    pub(crate) fn next_in_queue(&self) -> Option<&Known> {
        self.jobs.get(self.queue.front()?)
    }

    pub(crate) fn cooking(&self) -> impl ExactSizeIterator<Item = &Known> {
        self.cooking.iter().map(|id| &self.jobs[id])
    }
}
