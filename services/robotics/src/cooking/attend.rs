//! Looking after jobs: each is handed to the robot line, and what the line says is written down in one commit with what is
//! told of it.

use std::collections::HashMap;
use std::sync::Arc;

use artel_client::Call;
use artel_proto::persist::Operator;
use artel_proto::robotics::{CookingJob, CookingLine, CookingStatus, Recipe, Reservation};
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::from_chrono;
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt as _};

use super::rules::{MOVING, Moved, Pauses, claimed, heard, is_over, is_to_restart, stuck};
use crate::error::Refusal;
use crate::line::{Changes, Dish, Order, Progress, RobotLine, Trouble};
use crate::reserve::is_overtaken;

/// Jobs looked after side by side.
const SIDE_BY_SIDE: usize = 16;
/// Jobs that one look takes on in a workspace.
const AT_ONCE: i32 = 200;
/// How often writing down begins anew when another copy was faster.
const ATTEMPTS: usize = 8;

pub(crate) type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Looks after jobs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cook {
    repo: Repo,
    line: Arc<dyn RobotLine>,
    pauses: Pauses,
    clock: Clock,
}

impl Cook {
    pub(crate) fn new(repo: Repo, line: Arc<dyn RobotLine>, pauses: Pauses) -> Self {
        Self { repo, line, pauses, clock: Arc::new(Utc::now) }
    }

    /// Hands over what was just accepted.
    pub(crate) async fn hand(&self, accepted: impl Stream<Item = (Call, CookingJob)>) {
        accepted
            .for_each_concurrent(SIDE_BY_SIDE, |(call, job)| async move { self.attend(&call, job).await })
            .await;
    }

    /// Looks after all jobs whose time has come, in whatever workspace.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        let due = || {
            let now = from_chrono((self.clock)());
            open().filter(Filter::compare("next_time", Operator::LessOrEqual, [now.into()]))
        };
        let mut found = 0;
        for workspace in self.repo.workspaces::<CookingJob>(call, due()).await? {
            let call = Call { workspace, ..call.clone() };
            let query = due().order("next_time", Direction::Ascending).page(AT_ONCE, "");
            let jobs = self.repo.query::<CookingJob>(&call, query).await?.items;
            found += jobs.len();
            // A line that hangs takes longer than a look; what it says is written down all the same.
            let call = Call { deadline: None, ..call };
            self.hand(futures::stream::iter(jobs.into_iter().map(|job| (call.clone(), job)))).await;
        }
        metrics::gauge!("artel_robotics_jobs_due").set(found as f64);
        Ok(())
    }

    /// Writes down what changed, in whatever workspace.
    pub(crate) async fn note(&self, call: &Call, changes: &Changes) -> Result<(), Error> {
        if changes.jobs.is_empty() {
            return Ok(());
        }
        let said: HashMap<&str, &Progress> =
            changes.jobs.iter().map(|said| (said.id.as_str(), said)).collect();
        for workspace in self.repo.workspaces::<CookingJob>(call, open()).await? {
            let call = &Call { workspace, ..call.clone() };
            let ids = said.keys().filter(|id| artel_util::is_id(id)).copied();
            let jobs: Vec<CookingJob> = self.repo.get_many(call, ids).await?;
            let jobs = jobs.into_iter().filter(|job| !is_over(job));
            let said = &said;
            let noted = futures::stream::iter(jobs).map(|job| async move {
                match said.get(job.id.as_str()) {
                    Some(said) => self.hear(call, job, said).await,
                    None => Ok(()),
                }
            });
            let noted: Vec<Result<(), Error>> = noted.buffer_unordered(SIDE_BY_SIDE).collect().await;
            noted.into_iter().collect::<Result<(), Error>>()?;
        }
        Ok(())
    }

    /// Looks after one job. Whatever fails, its time comes again.
    async fn attend(&self, call: &Call, job: CookingJob) {
        let (id, order) = (job.id.clone(), job.order_id.clone());
        if let Err(error) = self.try_attend(call, job).await {
            tracing::warn!(job = id, order, %error, "a job is looked after again later");
        }
    }

    async fn try_attend(&self, call: &Call, job: CookingJob) -> Result<(), Error> {
        // What was handed over is not asked for again: recipes may have changed since.
        let known = if job.attempts > 0 { self.line.find(&job.id).await } else { Ok(None) };
        let said = match known {
            Ok(Some(said)) => Ok(said),
            Ok(None) => self.line.cook(&self.order(call, &job).await?).await,
            Err(trouble) => Err(trouble),
        };
        let said = match said {
            Ok(said) => said,
            Err(trouble) => return self.stuck(call, job, &trouble).await,
        };
        if !is_to_restart(&job, &said, (self.clock)()) {
            return self.hear(call, job, &said).await;
        }
        let claim =
            |job: &CookingJob, now| is_to_restart(job, &said, now).then(|| claimed(job, &self.pauses, now));
        let Some(job) = self.write(call, job, claim).await? else { return Ok(()) };
        match self.line.restart(&job.id).await {
            Ok(said) => self.hear(call, job, &said).await,
            Err(trouble) => self.stuck(call, job, &trouble).await,
        }
    }

    async fn hear(&self, call: &Call, job: CookingJob, said: &Progress) -> Result<(), Error> {
        self.write(call, job, |job, now| heard(job, said, &self.pauses, now)).await.map(drop)
    }

    async fn stuck(&self, call: &Call, job: CookingJob, trouble: &Trouble) -> Result<(), Error> {
        tracing::warn!(job = job.id, order = job.order_id, %trouble, "a job waits");
        // Where another copy was faster, it knows more.
        let seen = job.version;
        let stuck =
            |job: &CookingJob, now| (job.version == seen).then(|| stuck(job, trouble, &self.pauses, now));
        self.write(call, job, stuck).await.map(drop)
    }

    /// What the line is to cook: by today's recipes, from what was set aside.
    async fn order(&self, call: &Call, job: &CookingJob) -> Result<Order, Error> {
        let mut ids: Vec<&str> = job.lines.iter().map(|line| line.dish_id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        let (recipes, reservation) = tokio::try_join!(
            self.repo.get_many::<Recipe>(call, ids),
            self.repo.get::<Reservation>(call, &job.payment_id),
        )?;
        let dish = |line: &CookingLine| {
            let recipe = recipes.iter().find(|recipe| recipe.id == line.dish_id);
            Dish {
                dish_id: line.dish_id.clone(),
                name: line.name.clone(),
                quantity: line.quantity,
                steps: recipe.map(|recipe| recipe.steps.clone()).unwrap_or_default(),
            }
        };
        Ok(Order {
            id: job.id.clone(),
            dishes: job.lines.iter().map(dish).collect(),
            ingredients: reservation.map(|reservation| reservation.ingredients).unwrap_or_default(),
        })
    }

    /// Writes down what becomes of a job, and tells it; of the job as it is where another copy was faster. The job as it is
    /// then; `None` where nothing becomes of it.
    async fn write(
        &self,
        call: &Call,
        mut job: CookingJob,
        becomes: impl Fn(&CookingJob, DateTime<Utc>) -> Option<Moved>,
    ) -> Result<Option<CookingJob>, Error> {
        for _ in 0..ATTEMPTS {
            let Some(Moved { job: mut next, preparing, ready }) = becomes(&job, (self.clock)()) else {
                return Ok(None);
            };
            let mut commit = Commit::new().update(&next, &MOVING).expect_version(job.version);
            if let Some(event) = &preparing {
                commit = commit.publish(event);
            }
            if let Some(event) = &ready {
                commit = commit.publish(event);
            }
            match self.repo.commit(call, commit).await {
                Ok(_) => {
                    count(&job, &next);
                    next.version = job.version + 1;
                    return Ok(Some(next));
                }
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
            match self.repo.get::<CookingJob>(call, &job.id).await? {
                Some(now) => job = now,
                None => return Ok(None),
            }
        }
        Err(Refusal::Busy.into())
    }
}

/// Jobs that are not ready.
fn open() -> Query {
    let open = [CookingStatus::Queued, CookingStatus::Cooking].map(|status| status.as_str_name());
    Query::new().filter(Filter::one_of("status", open))
}

/// Counts what became of a job.
fn count(before: &CookingJob, now: &CookingJob) {
    let outcome = if is_over(now) {
        "ready"
    } else if before.start_time.is_none() && now.start_time.is_some() {
        "begun"
    } else if now.attempts > before.attempts && before.attempts > 0 {
        "restarted"
    } else if !now.error.is_empty() && now.error != before.error {
        "stuck"
    } else {
        return;
    };
    metrics::counter!("artel_robotics_jobs_total", "outcome" => outcome).increment(1);
    if let (Some(start), Some(ready)) = (&now.start_time, &now.ready_time) {
        let seconds = (ready.seconds - start.seconds) as f64 + f64::from(ready.nanos - start.nanos) / 1e9;
        metrics::histogram!("artel_robotics_cooking_seconds").record(seconds);
    }
}
