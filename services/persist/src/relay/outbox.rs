//! The outbox as the relay reads it.

use artel_queue::Outgoing;
use artel_util::time::to_chrono;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures::future::try_join_all;
use uuid::Uuid;

use super::shards::shard_array;
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind, read_i32, read_i64};

/// Into how many shards events are divided by their keys: as many as `artel_shard` has.
pub(super) const SHARDS: usize = 16;

/// The next window: up to the oldest transaction still running, or up to where others wait; where its positions begin;
/// and whether there is more behind it.
///
/// `+ 0` keeps the planner from looking for the least position by walking through all that there are.
const OPEN: &str = "WITH until AS MATERIALIZED (
    SELECT least(pg_snapshot_xmin(pg_current_snapshot())::text::bigint, $2) AS txid
)
SELECT u.txid, (SELECT min(o.position + 0) FROM outbox o WHERE o.txid >= $1 AND o.txid < u.txid),
    EXISTS (SELECT FROM outbox o WHERE o.txid >= greatest($1, u.txid))
FROM until u";

/// `+ 0` leaves the planner the index on positions alone: with the one on transactions it would sort a whole backlog for
/// each page of it.
const READ: &str =
    "SELECT position, id, workspace_id, type, name, key, body, actor_user, actor_service, trace, time, expire_time,
    artel_shard(key)
FROM outbox
WHERE position > $3 AND txid + 0 >= $1 AND txid + 0 < $2 AND artel_shard(key) = ANY($5) ORDER BY position LIMIT $4";

/// A backlog is not counted to its end.
const MOST_COUNTED: i64 = 10_000;
const WAITING: &str = "SELECT count(*) FROM (
    SELECT FROM outbox WHERE txid >= $1 AND position + 0 > $2 AND artel_shard(key) = ANY($4) LIMIT $3
) AS waiting";

const ADVANCE: &str =
    "UPDATE relay SET txid = $1, until = $2, position = $3, time = now() WHERE shard = ANY($4)";

const MARK: &str = "UPDATE outbox SET unroutable = true WHERE position = ANY($1)";

/// How far the relay is with a shard: everything of the transactions before `txid` is published, and of those from there up to
/// `until` everything up to `position`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) txid: i64,
    pub(super) until: i64,
    pub(super) position: i64,
}

/// The events behind a cursor, in the order in which they happened.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<Outgoing>,
    /// Where the relay is when an event is published, one for each.
    pub(super) places: Vec<Cursor>,
    /// The shard of each.
    shards: Vec<i32>,
    /// The position of each.
    pub(super) positions: Vec<i64>,
    /// Where the relay is before the first of them: there was nothing up to here.
    start: Cursor,
    /// Events lie between the cursor it was read from and its start, of other shards or of this one.
    pub(super) passed: bool,
    /// There are more, but an older transaction still runs.
    pub(super) is_blocked: bool,
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
pub(super) fn cursor(row: &DriverRow) -> Cursor {
    let number = |index| number(row, index).unwrap_or_default();
    Cursor { txid: number(0), until: number(1), position: number(2) }
}

impl Cursor {
    /// The end of a window: everything of the transactions before `until` is published.
    pub(super) fn end(until: i64) -> Self {
        Self { txid: until, until, position: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.txid == self.until
    }
}

impl Page {
    /// Reads what may be published of these shards behind the cursor, up to the transaction `bound` where there is one.
    ///
    /// Two transactions that change one row are over in the order of that row's lock, which need not be that of their
    /// numbers. They run at the same time, though, so one window holds both: in it the order is that of positions.
    pub(super) async fn read(
        connection: &AsyncPgConnection,
        shards: &[i32],
        behind: Cursor,
        bound: Option<i64>,
        most: usize,
    ) -> Result<Self, Failure> {
        let mut page = Self {
            events: Vec::new(),
            places: Vec::new(),
            shards: Vec::new(),
            positions: Vec::new(),
            start: behind,
            passed: false,
            is_blocked: false,
        };
        if !behind.is_at_end() {
            page.fill(connection, shards, most).await?;
        }
        if page.events.is_empty() {
            page.open(connection, shards, bound, most).await?;
        }
        Ok(page)
    }

    /// Opens the window behind the one that was published to its end, and reads what is in it.
    async fn open(
        &mut self,
        connection: &AsyncPgConnection,
        shards: &[i32],
        bound: Option<i64>,
        most: usize,
    ) -> Result<(), Failure> {
        let from = self.start.until;
        self.passed = !self.start.is_at_end();
        self.start = Cursor::end(from);
        let rows = Statement::fixed(OPEN)
            .named(Name::of("outbox.window"))
            .bind(Kind::Bigint, value::bigint(from))
            .bind(Kind::Bigint, value::bigint(bound.unwrap_or(i64::MAX)))
            .load(connection)
            .await?;
        let Some(row) = rows.first() else { return Ok(()) };
        // Behind where others wait there is more by its nature: that is not being held up.
        self.is_blocked = bound.is_none() && with_column(row, 2, |cell| cell == Some(&[1]));
        let until = number(row, 0).unwrap_or(from).max(from);
        match number(row, 1) {
            None => self.start = Cursor::end(until),
            Some(first) => {
                self.passed = true;
                self.start = Cursor { txid: from, until, position: first - 1 };
                self.fill(connection, shards, most).await?;
            }
        }
        Ok(())
    }

    async fn fill(
        &mut self,
        connection: &AsyncPgConnection,
        shards: &[i32],
        most: usize,
    ) -> Result<(), Failure> {
        let mut statement = Statement::fixed(READ)
            .named(Name::of("outbox.page"))
            .bind(Kind::Bigint, value::bigint(self.start.txid))
            .bind(Kind::Bigint, value::bigint(self.start.until))
            .bind(Kind::Bigint, value::bigint(self.start.position))
            .bind(Kind::Bigint, value::bigint(i64::try_from(most).unwrap_or(i64::MAX)));
        statement.push_array(shard_array(shards));
        let end = Cursor::end(self.start.until);
        for row in statement.load(connection).await? {
            let position = number(&row, 0).unwrap_or_default();
            self.positions.push(position);
            self.places.push(Cursor { position, ..self.start });
            self.shards.push(with_column(&row, 12, |cell| cell.and_then(read_i32)).unwrap_or_default());
            self.events.push(event(&row));
        }
        // Nothing comes into a window any more: what does not fill a page is its end.
        if self.events.len() < most {
            match self.places.last_mut() {
                Some(last) => *last = end,
                None => self.start = end,
            }
        }
        Ok(())
    }

    /// The shards of the first so many events.
    pub(super) fn shards(&self, count: usize) -> Vec<i32> {
        let mut shards: Vec<i32> = self.shards.iter().take(count).copied().collect();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// The place of its last event.
    pub(super) fn end(&self) -> Cursor {
        self.places.last().copied().unwrap_or(self.start)
    }
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
        .bind(Kind::Bigint, value::bigint(at.txid))
        .bind(Kind::Bigint, value::bigint(at.until))
        .bind(Kind::Bigint, value::bigint(at.position));
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
    let mut statement = Statement::fixed(WAITING)
        .named(Name::of("outbox.count"))
        .bind(Kind::Bigint, value::bigint(behind.txid))
        .bind(Kind::Bigint, value::bigint(behind.position))
        .bind(Kind::Bigint, value::bigint(MOST_COUNTED));
    statement.push_array(shard_array(shards));
    let rows = statement.load(connection).await?;
    Ok(rows.first().and_then(|row| number(row, 0)).unwrap_or_default())
}

/// A row of the outbox as an event: its id in the second column and so on, as [`READ`] has them.
pub(crate) fn event(row: &DriverRow) -> Outgoing {
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
    Outgoing {
        id: id(1),
        workspace: id(2),
        message_type: text(3),
        name: text(4),
        key: text(5),
        body: with_column(row, 6, |cell| cell.unwrap_or_default().to_vec()).into(),
        actor_user: text(7),
        actor_service: text(8),
        trace: text(9),
        time: moment(10).unwrap_or_default(),
        expire: moment(11),
        replay: String::new(),
    }
}

fn number(row: &DriverRow, index: usize) -> Option<i64> {
    with_column(row, index, |cell| cell.and_then(read_i64))
}
