//! The line's API: put a job in, ask for one, follow the changes, begin a broken one anew.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Line,
    jobs::{Effect, Job, Known, Status},
};
use crate::kit::{Failure, Routes, Told};

const MOST_JOBS: usize = 500;
const LONGEST_WAIT: u64 = 60;
const LONGEST_STEP: u32 = 24 * 3600;

pub(super) fn routes(line: Arc<Line>) -> Routes {
    let effects =
        Router::new().route("/v1/jobs", post(put)).route("/v1/jobs/{external_id}/restart", post(restart));
    let rest = Router::new().route("/v1/jobs", get(follow)).route("/v1/jobs/{external_id}", get(show));
    Routes { effects: effects.with_state(line.clone()), rest: rest.with_state(line) }
}

fn failure(status: StatusCode, code: &str, message: impl ToString) -> Failure {
    Failure::new((status, Json(json!({"code": code, "message": message.to_string()}))))
}

fn unwritten(error: &std::io::Error) -> Failure {
    tracing::error!(%error, "the line's ledger cannot be written");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "internal", "try again")
}

fn shown(known: &Known) -> Value {
    json!({
        "externalId": known.job.external_id,
        "status": known.status,
        "startedAt": known.started,
        "finishedAt": known.finished,
        "error": known.error,
        "changed": known.changed,
    })
}

/// What is wrong with a job.
fn wrong(job: &Job) -> Option<&'static str> {
    if job.external_id.is_empty() || job.external_id.len() > 128 {
        return Some("externalId must have 1 to 128 characters");
    }
    if job.dishes.is_empty() {
        return Some("dishes must not be empty");
    }
    if job.dishes.iter().any(|dish| !(1..=1000).contains(&dish.quantity)) {
        return Some("quantity must be from 1 to 1000");
    }
    let mut steps = job.dishes.iter().flat_map(|dish| &dish.steps);
    if steps.any(|step| step.action.is_empty() || step.seconds > LONGEST_STEP) {
        return Some("a step must have an action and take a day at most");
    }
    job.ingredients.iter().any(|ingredient| ingredient.amount < 0).then_some("amount must not be negative")
}

async fn put(State(line): State<Arc<Line>>, told: Told, body: Bytes) -> Result<Response, Failure> {
    let invalid = |message: String| failure(StatusCode::BAD_REQUEST, "invalid_job", message);
    let job: Job = serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?;
    if let Some(wrong) = wrong(&job) {
        return Err(invalid(wrong.to_owned()));
    }
    let mut page = line.desk.ledger.page();
    if let Some(known) = page.vendor().job(&job.external_id) {
        if known.job != job {
            let text = format!("{} is another job's", job.external_id);
            return Err(failure(StatusCode::CONFLICT, "external_id_reused", text));
        }
        return Ok(Json(shown(known)).into_response());
    }
    if told.decline {
        let text = "the line cannot cook this";
        return Err(failure(StatusCode::UNPROCESSABLE_ENTITY, "declined", text));
    }
    let external_id = job.external_id.clone();
    let breaks = told.broken || line.desk.faults.breaks();
    page.record(Effect::Queued { job, breaks, told_twice: told.twice }).map_err(|error| unwritten(&error))?;
    line.changed.notify_waiters();
    Ok((StatusCode::CREATED, Json(page.vendor().job(&external_id).map(shown))).into_response())
}

async fn show(State(line): State<Arc<Line>>, Path(id): Path<String>) -> Result<Response, Failure> {
    match line.desk.ledger.page().vendor().job(&id) {
        Some(known) => Ok(Json(shown(known)).into_response()),
        None => Err(failure(StatusCode::NOT_FOUND, "job_not_found", "there is no such job")),
    }
}

async fn restart(State(line): State<Arc<Line>>, Path(id): Path<String>) -> Result<Response, Failure> {
    let mut page = line.desk.ledger.page();
    match page.vendor().job(&id).map(|known| known.status) {
        None => return Err(failure(StatusCode::NOT_FOUND, "job_not_found", "there is no such job")),
        Some(Status::Broken) => {
            page.record(Effect::Restarted { external_id: id.clone() }).map_err(|error| unwritten(&error))?;
            line.changed.notify_waiters();
        }
        // Begun anew already, by a request whose answer was lost.
        Some(Status::Queued | Status::Cooking) => {}
        Some(Status::Done) => {
            return Err(failure(StatusCode::CONFLICT, "job_done", "the job is done already"));
        }
    }
    Ok(Json(page.vendor().job(&id).map(shown)).into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Follow {
    changed_after: u64,
    wait_seconds: u64,
    limit: usize,
}

impl Default for Follow {
    fn default() -> Self {
        Self { changed_after: 0, wait_seconds: 0, limit: 100 }
    }
}

async fn follow(State(line): State<Arc<Line>>, Query(follow): Query<Follow>) -> Json<Value> {
    let until = Instant::now() + Duration::from_secs(follow.wait_seconds.min(LONGEST_WAIT));
    loop {
        // Asked for before looking, so that no change falls between.
        let change = line.changed.notified();
        tokio::pin!(change);
        change.as_mut().enable();
        let page = changes(&line, &follow);
        if page["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty()) {
            return Json(page);
        }
        if tokio::time::timeout_at(until, change).await.is_err() {
            return Json(page);
        }
    }
}

fn changes(line: &Line, follow: &Follow) -> Value {
    let page = line.desk.ledger.page();
    let limit = follow.limit.clamp(1, MOST_JOBS);
    let jobs: Vec<_> = page.vendor().changed_after(follow.changed_after).take(limit).collect();
    let cursor = jobs.last().map_or(follow.changed_after, |known| known.changed);
    json!({"jobs": jobs.into_iter().map(shown).collect::<Vec<_>>(), "cursor": cursor})
}
