//! What expired long ago goes.

use artel_client::Call;
use artel_proto::Entity;
use artel_proto::persist::Operator;
use artel_repo::{Commit, Filter, Query, Repo};
use artel_util::{Error, time};
use chrono::TimeDelta;

use crate::sessions::is_race;

/// Rows that are deleted at once.
const AT_ONCE: i32 = 500;

/// Deletes what expired by its `expire_time` so long ago or earlier. Bears being done by two copies at once.
pub(crate) async fn expired<T: Entity>(repo: &Repo, call: &Call, ago: TimeDelta) -> Result<(), Error> {
    let before = Filter::compare("expire_time", Operator::Less, [time::after(-ago).into()]);
    let rows = repo.query::<T>(call, Query::new().filter(before).page(AT_ONCE, "")).await?.items;
    if rows.is_empty() {
        return Ok(());
    }
    let commit = rows.iter().fold(Commit::new(), |commit, row| commit.delete::<T>(row.id()));
    match repo.commit(call, commit).await {
        // Another copy sweeps, too.
        Err(error) if !is_race(&error) => Err(error),
        _ => {
            tracing::info!(entity = T::NAME, count = rows.len(), "swept what expired");
            Ok(())
        }
    }
}
