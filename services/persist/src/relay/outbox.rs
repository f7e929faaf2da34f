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

const READ: &str =
    "SELECT txid, position, id, workspace_id, type, name, key, body, actor_user, actor_service, trace,
    time, expire_time, txid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
FROM outbox WHERE (txid, position) > ($1, $2) ORDER BY txid, position LIMIT $3";

const ADVANCE: &str = "UPDATE relay SET txid = $1, position = $2, time = now() WHERE name = 'outbox'";

const MARK: &str = "UPDATE outbox SET unroutable = true WHERE txid BETWEEN $1 AND $2 AND id = ANY($3)";

/// In a cluster that was restored from a dump transactions count from the beginning again, so those of the dump seem to
/// lie in the future. What was published goes to the very beginning, what was not right behind it. What was committed
/// since, which has greater positions than anything in the dump, stays as it is.
const RESTORED: &str = "WITH future AS MATERIALIZED (
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS txid
), dump AS MATERIALIZED (
    SELECT r.txid, r.position, greatest(
        (SELECT max(o.position) FROM outbox o WHERE o.txid >= f.txid),
        CASE WHEN r.txid >= f.txid THEN r.position END
    ) AS last
    FROM relay r, future f WHERE r.name = 'outbox'
), moved AS (
    UPDATE outbox o SET txid = CASE WHEN (o.txid, o.position) > (d.txid, d.position) THEN 1 ELSE 0 END
    FROM dump d WHERE o.position <= d.last
)
UPDATE relay r SET txid = 0, position = 9223372036854775807
FROM dump d WHERE r.name = 'outbox' AND d.last IS NOT NULL";

/// How far the relay is: a place in the order of commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) txid: i64,
    pub(super) position: i64,
}

/// Events behind a cursor, and their places.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) events: Vec<Outgoing>,
    pub(super) places: Vec<Cursor>,
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
        let rows = Statement::fixed("SELECT txid, position FROM relay WHERE name = 'outbox'")
            .load(connection)
            .await?;
        let row = rows.first().ok_or_else(|| Failure::Refused("the relay has lost its cursor".to_owned()))?;
        Ok(Self::of(row))
    }

    fn of(row: &DriverRow) -> Self {
        let number = |index| with_column(row, index, |cell| cell.and_then(read_i64)).unwrap_or_default();
        Self { txid: number(0), position: number(1) }
    }
}

impl Page {
    /// Reads what may be published behind the cursor.
    pub(super) async fn read(
        connection: &AsyncPgConnection,
        behind: &Cursor,
        most: usize,
    ) -> Result<Self, Failure> {
        let statement = Statement::fixed(READ)
            .bind(Kind::Bigint, value::bigint(behind.txid))
            .bind(Kind::Bigint, value::bigint(behind.position))
            .bind(Kind::Bigint, value::bigint(i64::try_from(most).unwrap_or(i64::MAX)));
        let mut page = Self::default();
        for row in statement.load(connection).await? {
            if !with_column(&row, 13, |cell| cell == Some(&[1])) {
                page.is_blocked = true;
                break;
            }
            page.places.push(Cursor::of(&row));
            page.events.push(event(&row));
        }
        Ok(page)
    }

    /// The place of its last event.
    pub(super) fn end<'a>(&'a self, before: &'a Cursor) -> &'a Cursor {
        self.places.last().unwrap_or(before)
    }
}

/// Moves the cursor, and marks the events that no queue wanted.
pub(super) async fn advance(
    connection: &AsyncPgConnection,
    from: &Cursor,
    to: &Cursor,
    unroutable: &[String],
) -> Result<(), Failure> {
    let mut statements = Vec::new();
    if !unroutable.is_empty() {
        let mut ids = Array::new(Kind::Uuid);
        unroutable.iter().filter_map(|id| value::uuid(id)).for_each(|id| ids.push(Some(&id)));
        let mut mark = Statement::fixed(MARK)
            .bind(Kind::Bigint, value::bigint(from.txid))
            .bind(Kind::Bigint, value::bigint(to.txid));
        mark.push_array(ids);
        statements.push(mark);
    }
    statements.push(
        Statement::fixed(ADVANCE)
            .bind(Kind::Bigint, value::bigint(to.txid))
            .bind(Kind::Bigint, value::bigint(to.position)),
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
        id: id(2),
        workspace: id(3),
        message_type: text(4),
        name: text(5),
        key: text(6),
        body: with_column(row, 7, |cell| cell.unwrap_or_default().to_vec()).into(),
        actor_user: text(8),
        actor_service: text(9),
        trace: text(10),
        time: moment(11).unwrap_or_default(),
        expire: moment(12),
    }
}
