use std::collections::HashMap;
use std::sync::Arc;

use artel_client::Call;
use artel_proto::Entity as _;
use artel_proto::order::{BoardClock, BoardMove, Order};
use artel_repo::{Commit, Committed, Delta, Repo};
use artel_util::{Error, new_id};
use tokio::sync::Mutex;

use crate::error::Refusal;

/// How often the number is looked up anew where other copies write moves at the same time.
const ATTEMPTS: usize = 50;

/// Writes the moves of the board. Those of one process go one after another, so that they do not wait for each other in
/// vain; copies find each other by the clock's row.
#[derive(Clone)]
pub(crate) struct Log {
    repo: Repo,
    /// The last number of each workspace, as far as this process knows.
    last: Arc<Mutex<HashMap<String, i64>>>,
}

impl Log {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo, last: Arc::default() }
    }

    /// The number of the last move.
    pub(crate) async fn last(&self, call: &Call) -> Result<i64, Error> {
        let clock: Option<BoardClock> = self.repo.get(call, &call.workspace).await?;
        Ok(clock.map_or(0, |clock| clock.position))
    }

    /// Commits together with the order's move to where it is now.
    ///
    /// # Errors
    /// What `persist` says about the rest of the commit.
    pub(crate) async fn commit(
        &self,
        call: &Call,
        order: &Order,
        commit: Commit,
    ) -> Result<Committed, Error> {
        let mut known = self.last.lock().await;
        for _ in 0..ATTEMPTS {
            let last = match known.remove(&call.workspace) {
                Some(last) => last,
                None => self.last(call).await?,
            };
            let step = BoardMove {
                id: new_id(),
                position: last + 1,
                order_id: order.id.clone(),
                number: order.board_number,
                status: order.status,
                ..BoardMove::default()
            };
            match self.repo.commit(call, tick(commit.clone(), &call.workspace, last).insert(&step)).await {
                Ok(committed) => {
                    if !committed.replayed {
                        known.insert(call.workspace.clone(), step.position);
                    }
                    metrics::counter!("artel_order_board_moves_total").increment(1);
                    return Ok(committed);
                }
                // Another copy was faster.
                Err(error) if matches!(error.get("entity"), Some(BoardClock::NAME | BoardMove::NAME)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Busy.into())
    }
}

/// Adds that the clock goes from this number to the next.
fn tick(commit: Commit, workspace: &str, last: i64) -> Commit {
    if last == 0 {
        let clock = BoardClock { id: workspace.to_owned(), position: 1, ..BoardClock::default() };
        return commit.insert(&clock);
    }
    commit.adjust::<BoardClock>(workspace, [Delta::add("position", 1)]).expect("position", last)
}
