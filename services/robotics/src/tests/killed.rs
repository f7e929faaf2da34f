//! Copies that die between what the robot line does and what is written down of it.

use std::sync::Arc;
use std::time::Duration;

use artel_proto::robotics::CookingStatus;
use artel_vendors::robots::Effect;
use artel_vendors::{Act, Faults};
use async_trait::async_trait;
use tokio::sync::Notify;

use super::copy::{Copy, came_in, line, only_job, paid, robots, told};
use super::world::{World, recipe};
use crate::line::{Changes, Order, Progress, RobotLine, Trouble};

/// Where a copy dies: after the line did something, before that is heard.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Cook,
    Restart,
}

/// A line whose caller hears nothing more of it from there on.
struct Killing {
    line: Arc<dyn RobotLine>,
    at: At,
    done: Arc<Notify>,
}

impl Killing {
    async fn die_at(&self, at: At) {
        if self.at == at {
            self.done.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl RobotLine for Killing {
    async fn cook(&self, order: &Order) -> Result<Progress, Trouble> {
        let said = self.line.cook(order).await;
        self.die_at(At::Cook).await;
        said
    }

    async fn find(&self, id: &str) -> Result<Option<Progress>, Trouble> {
        self.line.find(id).await
    }

    async fn restart(&self, id: &str) -> Result<Progress, Trouble> {
        let said = self.line.restart(id).await;
        self.die_at(At::Restart).await;
        said
    }

    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes, Trouble> {
        self.line.changes(after, wait).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_handed_over_before_it_was_killed_is_cooked_once() {
    let mut world = World::start().await;
    let borscht = world.dish(&[(&world.ingredient(100).await, 10)]).await;
    let (robots, done) = (robots().await, Arc::new(Notify::new()));
    let killing = Killing { line: line(&robots), at: At::Cook, done: Arc::clone(&done) };
    let killed = Copy::deaf(&world, Arc::new(killing));
    let event = paid(&world, &borscht).await;
    killed.hear(&world, &event).await;
    done.notified().await;
    killed.die();
    let job = only_job(&world).await;
    assert_eq!((job.attempts, job.status()), (0, CookingStatus::Queued), "nobody wrote it down");
    // The recipe changes before somebody looks after the job again: the line has it as it was.
    let beet = world.ingredient(10).await;
    world.put_recipe(recipe(&borscht, &[(&beet, 3)])).await.unwrap();
    let _copy = Copy::deaf(&world, line(&robots));
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));
    assert_eq!(came_in(&robots)[&job.id], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_copy_had_begun_again_before_it_was_killed_is_begun_again_once() {
    let mut world = World::start().await;
    let borscht = world.dish(&[(&world.ingredient(100).await, 10)]).await;
    let (robots, done) = (robots().await, Arc::new(Notify::new()));
    robots.faults().set(Faults::script([Act::Break]));
    let killing = Killing { line: line(&robots), at: At::Restart, done: Arc::clone(&done) };
    let killed = Copy::deaf(&world, Arc::new(killing));
    let event = paid(&world, &borscht).await;
    killed.hear(&world, &event).await;
    done.notified().await;
    killed.die();
    let job = only_job(&world).await;
    assert_eq!(job.attempts, 2, "that it is begun again is written down before it is tried");
    let _copy = Copy::deaf(&world, line(&robots));
    assert_eq!(told(&mut world, 1).await[&event.order_id], (1, 1));
    assert_eq!(only_job(&world).await.attempts, 2);
    let restarts = robots.ledger().into_iter();
    assert_eq!(restarts.filter(|entry| matches!(entry.effect, Effect::Restarted { .. })).count(), 1);
}
