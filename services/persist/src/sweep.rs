//! What is too old is swept away: idempotency records a bounded number at a time, the outbox by the day.
//!
//! Records are deleted rather than dropped with a partition, too: a key must be unique over all the time that it is kept,
//! and a look into a second partition costs each commit more than its share of the deletes and their vacuum.

use std::time::Duration;

use artel_util::Error;
use chrono::NaiveDate;

use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Kind, read_i64};

/// Two copies that sweep at once take different records.
const KEYS: &str = "WITH old AS (
    SELECT workspace_id, key FROM idempotency WHERE expire_time < now() ORDER BY expire_time LIMIT 5000
    FOR UPDATE SKIP LOCKED
), swept AS (
    DELETE FROM idempotency i USING old WHERE i.workspace_id = old.workspace_id AND i.key = old.key RETURNING 1
)
SELECT count(*) FROM swept";

const MAKE: &str = "SELECT artel_make_outbox_days($1::date, $2)";
const TURN: &str = "SELECT artel_turn_outbox_day($1::date)";
const DROP: &str = "SELECT artel_drop_outbox_day($1::date, $2)";

/// So many days of the outbox are made ahead: as long as nothing may go wrong with it.
const AHEAD: i32 = 3;
/// How often a partition is tried to be dropped while others use the outbox. Then the next sweep tries.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Sweeps idempotency keys that have expired.
pub(crate) async fn sweep_keys(system: Database) -> Result<(), Error> {
    let mut swept = 0;
    loop {
        let rows = system.query(Statement::fixed(KEYS).named(Name::of("idempotency.sweep"))).await?;
        let count = rows.first().and_then(|row| with_column(row, 0, |cell| cell.and_then(read_i64)));
        match count.unwrap_or_default() {
            0 => break,
            count => swept += count,
        }
    }
    metrics::counter!("artel_persist_keys_swept_total").increment(u64::try_from(swept).unwrap_or_default());
    if swept > 0 {
        tracing::info!(swept, "idempotency keys");
    }
    Ok(())
}

/// Makes the outbox' partitions of the days to come, and drops those in which everything is older than so many days and
/// was published: an event is never swept because it waited for long.
pub(crate) async fn sweep_outbox(system: Database, days: i32, today: NaiveDate) -> Result<(), Error> {
    let ask = async |text: &'static str, number: Option<i32>| {
        let mut statement = Statement::fixed(text)
            .named(Name::of("outbox.sweep"))
            .bind(Kind::Text, value::text(&today.to_string()));
        if let Some(number) = number {
            statement.push(Kind::Integer, value::integer(number));
        }
        system.query(statement).await
    };
    ask(MAKE, Some(AHEAD)).await?;
    ask(TURN, None).await?;
    let mut tries = 0;
    loop {
        match ask(DROP, Some(days)).await {
            Ok(rows) => match rows.first().and_then(dropped) {
                Some(partition) => tracing::info!(partition, "dropped"),
                None => return Ok(()),
            },
            // It would have waited for somebody, and everybody for it.
            Err(Failure::Timeout | Failure::Conflict) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => return Err(failure.into()),
        }
    }
}

fn dropped(row: &DriverRow) -> Option<String> {
    with_column(row, 0, |cell| cell.map(|name| String::from_utf8_lossy(name).into_owned()))
}
