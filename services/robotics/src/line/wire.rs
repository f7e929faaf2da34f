//! What goes over the wire to the robot line.

use artel_proto::robotics::{Portion, RecipeStep};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Dish, Order, Progress, State};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewJob<'a> {
    external_id: &'a str,
    dishes: Vec<NewDish<'a>>,
    ingredients: Vec<NewIngredient<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NewDish<'a> {
    dish_id: &'a str,
    name: &'a str,
    quantity: i32,
    steps: Vec<NewStep<'a>>,
}

#[derive(Debug, Serialize)]
struct NewStep<'a> {
    action: &'a str,
    seconds: i32,
}

#[derive(Debug, Serialize)]
struct NewIngredient<'a> {
    id: &'a str,
    amount: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Job {
    external_id: String,
    status: Status,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Queued,
    Cooking,
    Done,
    Broken,
}

#[derive(Debug, Deserialize)]
pub(super) struct JobPage {
    pub(super) jobs: Vec<Job>,
    pub(super) cursor: u64,
}

impl<'a> From<&'a Order> for NewJob<'a> {
    fn from(order: &'a Order) -> Self {
        let step = |step: &'a RecipeStep| NewStep { action: &step.action, seconds: step.seconds };
        let dish = |dish: &'a Dish| NewDish {
            dish_id: &dish.dish_id,
            name: &dish.name,
            quantity: dish.quantity,
            steps: dish.steps.iter().map(step).collect(),
        };
        let ingredient =
            |portion: &'a Portion| NewIngredient { id: &portion.ingredient_id, amount: portion.amount };
        Self {
            external_id: &order.id,
            dishes: order.dishes.iter().map(dish).collect(),
            ingredients: order.ingredients.iter().map(ingredient).collect(),
        }
    }
}

impl From<Job> for Progress {
    fn from(job: Job) -> Self {
        let state = match job.status {
            Status::Queued => State::Queued,
            Status::Cooking => State::Cooking,
            Status::Done => State::Done,
            Status::Broken => State::Broken,
        };
        Self {
            id: job.external_id,
            state,
            start: job.started_at,
            finish: job.finished_at,
            error: job.error.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_and_what_is_heard_have_the_lines_form() {
        let order = Order {
            id: "job".into(),
            dishes: vec![Dish {
                dish_id: "borscht".into(),
                name: "Борщ".into(),
                quantity: 2,
                steps: vec![RecipeStep { action: "boil".into(), seconds: 60 }],
            }],
            ingredients: vec![Portion { ingredient_id: "beet".into(), amount: 300 }],
        };
        assert_eq!(
            serde_json::to_value(NewJob::from(&order)).unwrap(),
            serde_json::json!({
                "externalId": "job",
                "dishes": [{
                    "dishId": "borscht", "name": "Борщ", "quantity": 2,
                    "steps": [{"action": "boil", "seconds": 60}],
                }],
                "ingredients": [{"id": "beet", "amount": 300}],
            })
        );
        let page: JobPage = serde_json::from_str(
            r#"{"jobs": [
                {"externalId": "a", "status": "queued", "startedAt": null, "finishedAt": null, "error": null, "changed": 1},
                {"externalId": "b", "status": "broken", "startedAt": "2026-03-01T12:00:00.25Z", "error": "arm stuck", "changed": 2}
            ], "cursor": 2}"#,
        )
        .unwrap();
        let [queued, broken] = page.jobs.try_into().map(|jobs: [Job; 2]| jobs.map(Progress::from)).unwrap();
        assert_eq!((queued.state, queued.start, queued.error.as_str()), (State::Queued, None, ""));
        assert_eq!((broken.state, broken.error.as_str()), (State::Broken, "arm stuck"));
        assert_eq!(broken.start.unwrap().timestamp_subsec_millis(), 250);
    }
}
