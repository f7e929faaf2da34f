//! The outbox as the relay reads it.

use std::sync::Arc;

use artel_queue::Event;
use artel_util::time::to_chrono;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures::future::try_join_all;
use uuid::Uuid;

use super::shards::shard_array;
use crate::failure::Failure;
use crate::measure::Name;
use crate::snapshot::{Snapshot, rows_of_window, window};
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind, read_i32};

/// Into how many shards events are divided by their keys: as many as `artel_shard` has.
pub(super) const SHARDS: usize = 16;

/// The moment now, and the first events of a window that is new. Where the window ends with that moment, `$3` and `$4`
/// leave everything in: a statement sees what its snapshot sees.
///
/// `+ 0` leaves the planner the index on transactions: it would walk through all positions for those of a window.
const OPEN: &str = concat!(
    "SELECT w.position, w.id, w.workspace_id, w.type, w.name, w.key, w.body, w.actor_user, w.actor_service, w.trace,
    w.time, w.expire_time, w.shard, n.now
FROM (SELECT pg_current_snapshot()::text AS now) n LEFT JOIN LATERAL (
    SELECT w.*, artel_shard(w.key) AS shard FROM ",
    rows_of_window!("outbox", " AND artel_shard(key) = ANY($5)"),
    " ORDER BY w.position + 0 LIMIT $6
) w ON true ORDER BY w.position"
);

/// The next events of a window that does not fit into one page. `+ 0` leaves the planner the index on positions alone:
/// with the one on transactions it would sort a whole backlog for each page of it.
const REST: &str =
    "SELECT position, id, workspace_id, type, name, key, body, actor_user, actor_service, trace, time, expire_time,
    artel_shard(key)
FROM outbox
WHERE position > $7 AND (txid + 0 >= $1 OR txid + 0 = ANY($2)) AND txid + 0 < $3 AND txid + 0 <> ALL($4)
  AND artel_shard(key) = ANY($5)
ORDER BY position LIMIT $6";

/// A backlog is not counted to its end.
const MOST_COUNTED: i64 = 10_000;
/// What a cursor is before: all that its first snapshot does not see, but for what its second one sees up to its position.
const WAITING: &str = concat!(
    "SELECT count(*) FROM (SELECT FROM ",
    rows_of_window!("outbox", " AND artel_shard(key) = ANY($5)"),
    " WHERE NOT (w.position <= $6 AND w.txid < $7 AND w.txid <> ALL($8)) LIMIT $9) AS waiting"
);

const ADVANCE: &str = "UPDATE relay SET since = $1, until = $2, position = $3, oldest = $4, time = now()
WHERE shard = ANY($5)";

const MARK: &str = "UPDATE outbox SET unroutable = true WHERE position = ANY($1)";

/// How far the relay is with a shard: everything that `since` sees is published, and of what `until` sees everything up to
/// `position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) since: Arc<Snapshot>,
    pub(super) until: Arc<Snapshot>,
    pub(super) position: i64,
}

/// The events behind a cursor, in the order in which they happened.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<Event>,
    /// The shard of each.
    shards: Vec<i32>,
    /// The position of each.
    pub(super) positions: Vec<i64>,
    /// Where the relay is before the first of them.
    start: Cursor,
    /// Nothing of the window comes behind them.
    is_last: bool,
    /// The cursor that it was read from is worth less than the one at its end, to whoever goes on from there.
    pub(super) passed: bool,
}

/// Makes the connection and the outbox ready.
pub(super) async fn prepare(connection: &AsyncPgConnection) -> Result<(), Failure> {
    // A cursor that is lost in a crash costs a batch published twice, not a flush for each. A process that hangs, or a
    // machine that is gone, does not keep its shards for longer than this; the relay itself is never silent for so long.
    for setting in [
        "SET synchronous_commit = off",
        "SET idle_session_timeout = '10s'",
        "SET tcp_keepalives_idle = 2",
        "SET tcp_keepalives_interval = 1",
        "SET tcp_keepalives_count = 3",
        "SELECT artel_restore_relay()",
    ] {
        Statement::fixed(setting).named(Name::of("relay.prepare")).load(connection).await?;
    }
    Ok(())
}

/// The first three columns as a cursor.
pub(super) fn cursor(row: &DriverRow) -> Option<Cursor> {
    Some(Cursor {
        since: Arc::new(Snapshot::read(row, 0)?),
        until: Arc::new(Snapshot::read(row, 1)?),
        position: sql::number(row, 2)?,
    })
}

impl Cursor {
    /// The end of a window: everything that it sees is published.
    pub(super) fn end(until: Arc<Snapshot>) -> Self {
        Self { since: Arc::clone(&until), until, position: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.since == self.until
    }

    /// True where the other is further, or as far and has come to its window's end.
    pub(super) fn is_behind(&self, other: &Self) -> bool {
        if self.until == other.until {
            !self.is_at_end() && other.is_at_end()
        } else {
            other.until.includes(&self.until)
        }
    }
}

impl Page {
    /// Reads what may be published of these shards behind the cursor, up to the moment `bound` where there is one.
    pub(super) async fn read(
        connection: &AsyncPgConnection,
        shards: &[i32],
        behind: Cursor,
        bound: Option<Arc<Snapshot>>,
        most: usize,
    ) -> Result<Self, Failure> {
        let mut passed = false;
        if !behind.is_at_end() {
            let rows = select(REST, "outbox.page", &behind.since, &behind.until, shards, most)
                .bind(Kind::Bigint, value::bigint(behind.position))
                .load(connection)
                .await?;
            if !rows.is_empty() {
                return Ok(Self::of(&rows, behind, most));
            }
            passed = true;
        }
        let since = behind.until;
        let until = bound.clone().unwrap_or_else(|| Arc::new(Snapshot::end()));
        let rows = select(OPEN, "outbox.window", &since, &until, shards, most).load(connection).await?;
        let first = rows.first().ok_or_else(|| Failure::Refused("no answer about the outbox".to_owned()))?;
        let now = || Snapshot::read(first, 13).map(Arc::new);
        let lost = || Failure::Refused("the outbox has no moment".to_owned());
        let until = bound.or_else(now).ok_or_else(lost)?;
        // What was still running there holds back what is swept and replayed.
        passed |= since.oldest() < since.next() && since != until;
        // Without events there is one row, of the moment alone.
        let rows = if sql::number(first, 0).is_none() { &[] } else { &rows[..] };
        let page = Self::of(rows, Cursor { since, until, position: 0 }, most);
        Ok(Self { passed, ..page })
    }

    fn of(rows: &[DriverRow], start: Cursor, most: usize) -> Self {
        Self {
            events: rows.iter().map(event).collect(),
            shards: rows
                .iter()
                .map(|row| with_column(row, 12, |cell| cell.and_then(read_i32)).unwrap_or_default())
                .collect(),
            positions: rows.iter().map(|row| sql::number(row, 0).unwrap_or_default()).collect(),
            start,
            // Nothing comes into a window any more: what does not fill a page is its end.
            is_last: rows.len() < most,
            passed: false,
        }
    }

    /// The shards of the first so many events.
    pub(super) fn shards(&self, count: usize) -> Vec<i32> {
        let mut shards: Vec<i32> = self.shards.iter().take(count).copied().collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Where the relay is when the first so many events are published.
    pub(super) fn place(&self, count: usize) -> Cursor {
        if count == self.events.len() && self.is_last {
            return Cursor::end(Arc::clone(&self.start.until));
        }
        let last = count.checked_sub(1).and_then(|last| self.positions.get(last)).copied();
        Cursor { position: last.unwrap_or(self.start.position), ..self.start.clone() }
    }

    /// Where the relay is when all of them are.
    pub(super) fn end(&self) -> Cursor {
        self.place(self.events.len())
    }
}

/// `$1` to `$6`: a window, shards, and how many events of it at most.
fn select(
    text: &'static str,
    name: &str,
    since: &Snapshot,
    until: &Snapshot,
    shards: &[i32],
    most: usize,
) -> Statement {
    let mut statement = window(text, since, until).named(Name::of(name));
    statement.push_array(shard_array(shards));
    statement.bind(Kind::Bigint, value::bigint(i64::try_from(most).unwrap_or(i64::MAX)))
}

/// Moves the cursor of shards, and marks the events at the positions that no queue wanted.
pub(super) async fn advance(
    connection: &AsyncPgConnection,
    at: &Cursor,
    shards: &[i32],
    unroutable: &[i64],
) -> Result<(), Failure> {
    let mut statements = Vec::new();
    if !unroutable.is_empty() {
        let mut positions = Array::new(Kind::Bigint);
        unroutable.iter().for_each(|position| positions.push(Some(&position.to_be_bytes())));
        let mut mark = Statement::fixed(MARK).named(Name::of("outbox.mark"));
        mark.push_array(positions);
        statements.push(mark);
    }
    let mut advance = Statement::fixed(ADVANCE)
        .named(Name::of("relay.advance"))
        .bind(Kind::Text, value::text(&at.since.to_string()))
        .bind(Kind::Text, value::text(&at.until.to_string()))
        .bind(Kind::Bigint, value::bigint(at.position))
        .bind(Kind::Bigint, value::bigint(at.since.oldest()));
    advance.push_array(shard_array(shards));
    statements.push(advance);
    try_join_all(statements.into_iter().map(|statement| statement.load(connection))).await?;
    Ok(())
}

/// About how many events of these shards wait behind the cursor; [`MOST_COUNTED`] where there are that many or more.
pub(super) async fn waiting(
    connection: &AsyncPgConnection,
    shards: &[i32],
    behind: &Cursor,
) -> Result<i64, Failure> {
    let mut statement = window(WAITING, &behind.since, &Snapshot::end()).named(Name::of("outbox.count"));
    statement.push_array(shard_array(shards));
    let statement = behind.until.bind_to(statement.bind(Kind::Bigint, value::bigint(behind.position)));
    let rows = statement.bind(Kind::Bigint, value::bigint(MOST_COUNTED)).load(connection).await?;
    Ok(rows.first().and_then(|row| sql::number(row, 0)).unwrap_or_default())
}

/// A row of the outbox as an event: its id in the second column and so on, as [`REST`] has them.
pub(crate) fn event(row: &DriverRow) -> Event {
    let text = |index| {
        with_column(row, index, |cell| String::from_utf8_lossy(cell.unwrap_or_default()).into_owned())
    };
    let id = |index| {
        let id = with_column(row, index, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
        id.unwrap_or_default().to_string()
    };
    let moment = |index| -> Option<DateTime<Utc>> {
        with_column(row, index, |cell| cell.and_then(value::moment)).as_ref().and_then(to_chrono)
    };
    // What a call was part of outside stands behind its trace: `Call::context`.
    let context = text(9);
    let (trace, correlation) = context.split_once(' ').unwrap_or((&context, ""));
    let (trace, correlation) = (trace.to_owned(), correlation.to_owned());
    Event {
        id: id(1),
        workspace: id(2),
        message_type: text(3),
        name: text(4),
        key: text(5),
        body: with_column(row, 6, |cell| cell.unwrap_or_default().to_vec()).into(),
        actor_user: text(7),
        actor_service: text(8),
        trace,
        correlation,
        time: moment(10).unwrap_or_default(),
        expire: moment(11),
        replay: String::new(),
    }
}
