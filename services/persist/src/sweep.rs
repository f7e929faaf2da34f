//! What is too old goes as a whole: idempotency records by the turn, the outbox by the day. Nothing is deleted row by
//! row.

use std::time::Duration;

use artel_util::Error;
use chrono::NaiveDate;

use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Kind};

const TURN_KEYS: &str = "SELECT artel_turn_keys('idempotency', make_interval(days => $1))";
/// What is kept of commits without a key is asked for within seconds, if at all.
const TURN_OUTCOMES: &str = "SELECT artel_turn_keys('outcome', interval '10 minutes')";

const MAKE: &str = "SELECT artel_make_outbox_days($1::date, $2)";
const TURN: &str = "SELECT artel_turn_outbox_day($1::date)";
const DROP: &str = "SELECT artel_drop_outbox_day($1::date, $2)";

/// So many days of the outbox are made ahead: as long as nothing may go wrong with it.
const AHEAD: i32 = 3;
/// How often it is tried while others use the table. Then the next sweep tries.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(300);

/// Forgets idempotency keys that were taken longer ago than so many days.
pub(crate) async fn sweep_keys(system: Database, days: i32) -> Result<(), Error> {
    let keyed = Statement::fixed(TURN_KEYS).bind(Kind::Integer, value::integer(days));
    for turn in [keyed, Statement::fixed(TURN_OUTCOMES)] {
        let rows = try_often(&system, &turn.named(Name::of("idempotency.turn"))).await?;
        if rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1]))) {
            metrics::counter!("artel_persist_key_turns_total").increment(1);
            tracing::debug!("idempotency keys of the turn before last are forgotten");
        }
    }
    Ok(())
}

/// Makes the outbox' partitions of the days to come, and drops those in which everything is older than so many days and
/// was published: an event is never swept because it waited for long.
pub(crate) async fn sweep_outbox(system: Database, days: i32, today: NaiveDate) -> Result<(), Error> {
    let ask = |text: &'static str| {
        Statement::fixed(text)
            .named(Name::of("outbox.sweep"))
            .bind(Kind::Text, value::text(&today.to_string()))
    };
    system.query(ask(MAKE).bind(Kind::Integer, value::integer(AHEAD))).await?;
    system.query(ask(TURN)).await?;
    let oldest = ask(DROP).bind(Kind::Integer, value::integer(days));
    while let Some(partition) = try_often(&system, &oldest).await?.first().and_then(dropped) {
        tracing::info!(partition, "dropped");
    }
    Ok(())
}

/// Runs what gives up at once where it would have to wait for somebody, and everybody for it.
async fn try_often(system: &Database, statement: &Statement) -> Result<Vec<DriverRow>, Failure> {
    let mut tries = 0;
    loop {
        match system.query(statement.clone()).await {
            Err(Failure::Locked | Failure::Conflict) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

fn dropped(row: &DriverRow) -> Option<String> {
    with_column(row, 0, |cell| cell.map(|name| String::from_utf8_lossy(name).into_owned()))
}
