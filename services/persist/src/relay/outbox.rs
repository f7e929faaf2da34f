//! The outbox as the relay reads it.

use artel_queue::Outgoing;
use artel_util::time::to_chrono;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures::future::try_join_all;
use uuid::Uuid;

use crate::failure::Failure;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind, read_i64};

/// The number of the lock that one relay holds.
const LOCK: i64 = 0x0061_7274_656c_0001;

/// The next window: up to the oldest transaction still running, where its positions begin, and whether there is more
/// behind it.
const OPEN: &str = "WITH until AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS txid
)
SELECT u.txid, (SELECT min(o.position) FROM outbox o WHERE o.txid >= $1 AND o.txid < u.txid),
    EXISTS (SELECT FROM outbox o WHERE o.txid >= greatest($1, u.txid))
FROM until u";

/// `+ 0` leaves the planner the index on positions alone: with the one on transactions it would sort a whole backlog for
/// each page of it.
const READ: &str =
    "SELECT position, id, workspace_id, type, name, key, body, actor_user, actor_service, trace, time, expire_time
FROM outbox WHERE position > $3 AND txid + 0 >= $1 AND txid + 0 < $2 ORDER BY position LIMIT $4";

const ADVANCE: &str =
    "UPDATE relay SET txid = $1, until = $2, position = $3, time = now() WHERE name = 'outbox'";

const MARK: &str = "UPDATE outbox SET unroutable = true WHERE txid >= $1 AND txid < $2 AND id = ANY($3)";

/// In a cluster that was restored from a dump transactions count from the beginning again, so those of the dump seem to
/// lie in the future. What was published goes before the next window, what was not into it. What was committed since,
/// which has greater positions than anything in the dump, stays as it is.
const RESTORED: &str = "WITH future AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS txid
), dump AS MATERIALIZED (
    SELECT r.txid, r.until, r.position, greatest(
        (SELECT max(o.position) FROM outbox o WHERE o.txid >= f.txid),
        CASE WHEN r.txid >= f.txid THEN r.position END
    ) AS last
    FROM relay r, future f WHERE r.name = 'outbox'
), moved AS (
    UPDATE outbox o
    SET txid = CASE WHEN o.txid < d.txid OR o.txid < d.until AND o.position <= d.position THEN 0 ELSE 1 END
    FROM dump d WHERE o.position <= d.last
)
UPDATE relay r SET txid = 1, until = 1, position = 0
FROM dump d WHERE r.name = 'outbox' AND d.last IS NOT NULL";

/// How far the relay is: everything of the transactions before `txid` is published, and of those from there up to
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
    /// Where the relay is before the first of them: there was nothing up to here.
    start: Cursor,
    /// There are more, but an older transaction still runs.
    pub(super) is_blocked: bool,
}

/// True once this connection is the one that relays.
pub(super) async fn lock(connection: &AsyncPgConnection) -> Result<bool, Failure> {
    let statement =
        Statement::fixed("SELECT pg_try_advisory_lock($1)").bind(Kind::Bigint, value::bigint(LOCK));
    let rows = statement.load(connection).await?;
    Ok(rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1]))))
}

/// Makes the connection and the outbox ready.
pub(super) async fn prepare(connection: &AsyncPgConnection) -> Result<(), Failure> {
    // A cursor that is lost in a crash costs a batch published twice, not a flush for each.
    Statement::fixed("SET synchronous_commit = off").load(connection).await?;
    Statement::fixed(RESTORED).load(connection).await?;
    Ok(())
}

impl Cursor {
    pub(super) async fn read(connection: &AsyncPgConnection) -> Result<Self, Failure> {
        let rows = Statement::fixed("SELECT txid, until, position FROM relay WHERE name = 'outbox'")
            .load(connection)
            .await?;
        let row = rows.first().ok_or_else(|| Failure::Refused("the relay has lost its cursor".to_owned()))?;
        let number = |index| number(row, index).unwrap_or_default();
        Ok(Self { txid: number(0), until: number(1), position: number(2) })
    }

    /// The window after this one, which is published to its end, and whether an older transaction holds back what is
    /// behind it. `None` where there is nothing in it.
    async fn next_window(&self, connection: &AsyncPgConnection) -> Result<(Option<Self>, bool), Failure> {
        let rows =
            Statement::fixed(OPEN).bind(Kind::Bigint, value::bigint(self.until)).load(connection).await?;
        let Some(row) = rows.first() else { return Ok((None, false)) };
        let blocked = with_column(row, 2, |cell| cell == Some(&[1]));
        let window = number(row, 0).zip(number(row, 1));
        Ok((window.map(|(until, first)| Self { txid: self.until, until, position: first - 1 }), blocked))
    }
}

impl Page {
    /// Nothing, at a place.
    pub(super) fn empty(start: Cursor) -> Self {
        Self { events: Vec::new(), places: Vec::new(), start, is_blocked: false }
    }

    /// Reads what may be published behind the cursor.
    ///
    /// Two transactions that change one row are over in the order of that row's lock, which need not be that of their
    /// numbers. They run at the same time, though, so one window holds both: in it the order is that of positions.
    pub(super) async fn read(
        connection: &AsyncPgConnection,
        behind: &Cursor,
        most: usize,
    ) -> Result<Self, Failure> {
        let mut page = Self::empty(*behind);
        page.fill(connection, most).await?;
        if page.events.is_empty() {
            let (window, blocked) = behind.next_window(connection).await?;
            page.is_blocked = blocked;
            if let Some(window) = window {
                page.start = window;
                page.fill(connection, most).await?;
            }
        }
        Ok(page)
    }

    async fn fill(&mut self, connection: &AsyncPgConnection, most: usize) -> Result<(), Failure> {
        let statement = Statement::fixed(READ)
            .bind(Kind::Bigint, value::bigint(self.start.txid))
            .bind(Kind::Bigint, value::bigint(self.start.until))
            .bind(Kind::Bigint, value::bigint(self.start.position))
            .bind(Kind::Bigint, value::bigint(i64::try_from(most).unwrap_or(i64::MAX)));
        for row in statement.load(connection).await? {
            self.places.push(Cursor { position: number(&row, 0).unwrap_or_default(), ..self.start });
            self.events.push(event(&row));
        }
        Ok(())
    }

    /// The place of its last event.
    pub(super) fn end(&self) -> &Cursor {
        self.places.last().unwrap_or(&self.start)
    }
}

/// Moves the cursor, and marks the events that no queue wanted.
pub(super) async fn advance(
    connection: &AsyncPgConnection,
    at: &Cursor,
    unroutable: &[String],
) -> Result<(), Failure> {
    let mut statements = Vec::new();
    if !unroutable.is_empty() {
        let mut ids = Array::new(Kind::Uuid);
        unroutable.iter().filter_map(|id| value::uuid(id)).for_each(|id| ids.push(Some(&id)));
        let mut mark = Statement::fixed(MARK)
            .bind(Kind::Bigint, value::bigint(at.txid))
            .bind(Kind::Bigint, value::bigint(at.until));
        mark.push_array(ids);
        statements.push(mark);
    }
    statements.push(
        Statement::fixed(ADVANCE)
            .bind(Kind::Bigint, value::bigint(at.txid))
            .bind(Kind::Bigint, value::bigint(at.until))
            .bind(Kind::Bigint, value::bigint(at.position)),
    );
    try_join_all(statements.into_iter().map(|statement| statement.load(connection))).await?;
    Ok(())
}

fn event(row: &DriverRow) -> Outgoing {
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
    }
}

fn number(row: &DriverRow, index: usize) -> Option<i64> {
    with_column(row, index, |cell| cell.and_then(read_i64))
}
