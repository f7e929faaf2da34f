//! What is asked for, and what the database knows of it.

use artel_proto::persist::{ReplayRequest, ReplayResponse};
use artel_queue::Event;
use artel_util::Error;
use diesel_async::AsyncPgConnection;
use tonic::Code;
use uuid::Uuid;

use crate::caller::Caller;
use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::plan::Plans;
use crate::relay::event;
use crate::snapshot::Snapshot;
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self, Array, Cell, Kind, read_i64};

/// The first half of the number of a replay's lock; the other is made of its id.
const LOCK: &str = "SELECT pg_try_advisory_lock(1635021938, hashtext($1))";

/// What every shard has published.
const PUBLISHED: &str = "SELECT DISTINCT since FROM relay";

const COUNT: &str = "SELECT count(*) FROM outbox
WHERE name = ANY($1) AND time >= $2 AND time < $3 AND ($4 IS NULL OR workspace_id = $4)
  AND txid < $5 AND txid <> ALL($6)";

/// What was published when it begins is replayed, and nothing that comes later: that the service hears anyway.
const BEGIN: &str = "WITH begun AS (
    INSERT INTO replay (events, start_time, end_time, only_workspace, id, service, force, actor_user, actor_service,
        published, found)
    SELECT $1, $2, $3, $4, $7, $8, $9, $10, $11, $12, (
        SELECT count(*) FROM outbox
        WHERE name = ANY($1) AND time >= $2 AND time < $3 AND ($4 IS NULL OR workspace_id = $4)
          AND txid < $5 AND txid <> ALL($6)
    )
    ON CONFLICT (id) DO NOTHING
    RETURNING *
), logged AS (
    INSERT INTO change_log (workspace_id, entity, entity_id, operation, version, ordinal, actor_user, actor_service,
        trace, after)
    SELECT $13, 'artel.persist.v1.Replay', b.id, 'insert', 1, 0, $10, $11, $14, jsonb_build_object('service', b.service,
        'events', b.events, 'start_time', b.start_time, 'end_time', b.end_time, 'workspace_id', b.only_workspace,
        'force', b.force, 'found', b.found)
    FROM begun b
)
SELECT count(*) FROM begun";

const READ: &str = "SELECT position, published, found, sent, status FROM replay WHERE id = $1";

/// The same question as before.
const SAME: &str = "SELECT position, published, found, sent, status FROM replay
WHERE id = $1 AND events = $2 AND service = $3 AND force = $4 AND only_workspace IS NOT DISTINCT FROM $5
  AND ($6 IS NULL OR start_time = $6) AND ($7 IS NULL OR end_time = $7)";

/// Everything that was published up to a moment, in the order of positions: so the events of each row are in their order.
const PAGE: &str = "SELECT position, id, workspace_id, type, name, key, body, actor_user, actor_service, trace, time, expire_time
FROM outbox o
WHERE position > $1 AND txid + 0 < $2 AND txid + 0 <> ALL($3) AND name = ANY($4)
  AND ($5 IS NULL OR workspace_id = $5)
  AND time >= (SELECT start_time FROM replay WHERE id = $6) AND time < (SELECT end_time FROM replay WHERE id = $6)
ORDER BY position LIMIT $7";

const ADVANCE: &str = "UPDATE replay SET position = $2, sent = sent + $3, update_time = now()
WHERE id = $1 RETURNING position, published, found, sent, status";

const END: &str = "WITH ended AS (
    UPDATE replay SET status = $2, update_time = now() WHERE id = $1 AND status = 'running' RETURNING *
), logged AS (
    INSERT INTO change_log (workspace_id, entity, entity_id, operation, version, ordinal, actor_user, actor_service,
        trace, before, after)
    SELECT $3, 'artel.persist.v1.Replay', e.id, 'update', 2, 0, $4, $5, $6, jsonb_build_object('status', 'running'),
        jsonb_build_object('status', e.status, 'sent', e.sent)
    FROM ended e
)
SELECT count(*) FROM ended";

/// What an operator asks for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) id: Uuid,
    pub(super) service: String,
    pub(super) force: bool,
    events: Vec<String>,
    start: Cell,
    end: Cell,
    workspace: Cell,
}

/// How far a replay is.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) position: i64,
    published: Snapshot,
    pub(super) found: i64,
    pub(super) sent: i64,
    status: String,
}

impl Ask {
    /// Reads a request. INVALID_ARGUMENT names the wrong field.
    pub(super) fn read(plans: &Plans, request: &ReplayRequest) -> Result<Self, Error> {
        let id = Uuid::try_parse(&request.replay_id)
            .map_err(|_| Error::invalid("replayId", "must be a UUID with hyphens"))?;
        let known = plans.event_names();
        for (index, name) in request.events.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let text = format!("`{name}` is no event; there are: {}", known.join(", "));
                return Err(Error::invalid(format!("events[{index}]"), text));
            }
        }
        let moment = |moment: &Option<_>, field: &str| {
            let wrong = || Error::invalid(field, "is not between the years 1 and 9999");
            moment.as_ref().map(|moment| value::timestamp(moment).ok_or_else(wrong)).transpose()
        };
        let (start, end) = (moment(&request.start_time, "startTime")?, moment(&request.end_time, "endTime")?);
        let number = |cell: &Cell| cell.as_deref().and_then(read_i64);
        if let (Some(start), Some(end)) = (number(&start), number(&end))
            && start >= end
        {
            return Err(Error::invalid("endTime", "must be later than startTime"));
        }
        let mut events = request.events.clone();
        events.sort_unstable();
        events.dedup();
        Ok(Self {
            id,
            service: request.service.clone(),
            force: request.force,
            events,
            start,
            end,
            workspace: value::uuid(&request.workspace_id),
        })
    }

    fn id(&self) -> Cell {
        Some(self.id.as_bytes().to_vec())
    }

    fn names(&self) -> Array {
        let mut names = Array::new(Kind::Text);
        self.events.iter().for_each(|name| names.push(Some(name.as_bytes())));
        names
    }

    /// `$1` to `$6`: which events, of which time and workspace, and up to which moment.
    fn which(&self, text: &'static str, name: &str, published: &Snapshot) -> Statement {
        let (first, now) = (prost_types::Timestamp { seconds: 0, nanos: 0 }, artel_util::time::now());
        let or = |cell: &Cell, other| cell.clone().or_else(|| value::timestamp(&other));
        let mut statement = Statement::fixed(text).named(Name::of(name));
        statement.push_array(self.names());
        let statement = statement
            .bind(Kind::Timestamp, or(&self.start, first))
            .bind(Kind::Timestamp, or(&self.end, now))
            .bind(Kind::Uuid, self.workspace.clone());
        published.bind_to(statement)
    }

    /// How many events there are.
    pub(super) async fn count(&self, system: &Database) -> Result<i64, Error> {
        let connection = system.connection().await?;
        let published = published(&connection).await?;
        let rows = load(&connection, self.which(COUNT, "replay.count", &published)).await?;
        Ok(rows.first().and_then(|row| sql::number(row, 0)).unwrap_or_default())
    }

    /// The next events, each with its position.
    pub(super) async fn page(
        &self,
        connection: &AsyncPgConnection,
        record: &Record,
        most: usize,
    ) -> Result<Vec<(i64, Event)>, Error> {
        let mut statement = Statement::fixed(PAGE)
            .named(Name::of("replay.page"))
            .bind(Kind::Bigint, value::bigint(record.position));
        statement = record.published.bind_to(statement);
        statement.push_array(self.names());
        let statement = statement
            .bind(Kind::Uuid, self.workspace.clone())
            .bind(Kind::Uuid, self.id())
            .bind(Kind::Bigint, value::bigint(i64::try_from(most).unwrap_or(i64::MAX)));
        let rows = load(connection, statement).await?;
        Ok(rows.iter().map(|row| (sql::number(row, 0).unwrap_or_default(), event(row))).collect())
    }
}

impl Record {
    /// Writes down that a replay begins and by whom, where that was not done before. ALREADY_EXISTS where the id was used
    /// for another one.
    pub(super) async fn begin(
        connection: &AsyncPgConnection,
        ask: &Ask,
        caller: &Caller,
    ) -> Result<Self, Error> {
        let published = published(connection).await?;
        let statement = ask
            .which(BEGIN, "replay.begin", &published)
            .bind(Kind::Uuid, ask.id())
            .bind(Kind::Text, value::text(&ask.service))
            .bind(Kind::Boolean, value::boolean(ask.force))
            .bind(Kind::Text, value::text(&caller.user))
            .bind(Kind::Text, value::text(&caller.service))
            .bind(Kind::Text, value::text(&published.to_string()))
            .bind(Kind::Uuid, Some(caller.workspace.as_bytes().to_vec()))
            .bind(Kind::Text, value::text(&caller.trace));
        let begun = load(connection, statement).await?;
        if begun.first().and_then(|row| sql::number(row, 0)).is_some_and(|begun| begun > 0) {
            tracing::info!(replay = %ask.id, service = ask.service, events = ?ask.events, force = ask.force,
                user = caller.user, "a replay begins");
        }
        Self::read(connection, ask).await
    }

    /// How far it is.
    pub(super) async fn read(connection: &AsyncPgConnection, ask: &Ask) -> Result<Self, Error> {
        let mut statement = Statement::fixed(SAME).named(Name::of("replay.get")).bind(Kind::Uuid, ask.id());
        statement.push_array(ask.names());
        let statement = statement
            .bind(Kind::Text, value::text(&ask.service))
            .bind(Kind::Boolean, value::boolean(ask.force))
            .bind(Kind::Uuid, ask.workspace.clone())
            .bind(Kind::Timestamp, ask.start.clone())
            .bind(Kind::Timestamp, ask.end.clone());
        load(connection, statement).await?.first().map(Self::of).ok_or_else(|| {
            Error::new(
                Code::AlreadyExists,
                "REPLAY_ID_REUSED",
                "This id was used for another replay. Take a new one, or ask for the same as before.",
            )
        })
    }

    /// Notes that so many more are sent, up to a position.
    pub(super) async fn advance(
        connection: &AsyncPgConnection,
        ask: &Ask,
        position: i64,
        sent: usize,
    ) -> Result<Self, Error> {
        let statement = Statement::fixed(ADVANCE)
            .named(Name::of("replay.advance"))
            .bind(Kind::Uuid, ask.id())
            .bind(Kind::Bigint, value::bigint(position))
            .bind(Kind::Bigint, value::bigint(i64::try_from(sent).unwrap_or(i64::MAX)));
        let rows = load(connection, statement).await?;
        rows.first().map(Self::of).ok_or_else(|| unknown(&ask.id.to_string()))
    }

    /// Notes that all is sent, unless it was cancelled.
    pub(super) async fn done(
        connection: &AsyncPgConnection,
        ask: &Ask,
        caller: &Caller,
    ) -> Result<Self, Error> {
        end(connection, ask.id(), "done", caller).await?;
        Self::read(connection, ask).await
    }

    /// Ends it, unless it is done. NOT_FOUND where there is none of that id.
    pub(super) async fn cancel(
        connection: &AsyncPgConnection,
        id: &str,
        caller: &Caller,
    ) -> Result<Self, Error> {
        end(connection, value::uuid(id), "cancelled", caller).await?;
        let statement =
            Statement::fixed(READ).named(Name::of("replay.get")).bind(Kind::Uuid, value::uuid(id));
        load(connection, statement).await?.first().map(Self::of).ok_or_else(|| unknown(id))
    }

    fn of(row: &DriverRow) -> Self {
        let text = |index| {
            with_column(row, index, |cell| cell.map(|cell| String::from_utf8_lossy(cell).into_owned()))
        };
        let number = |index| sql::number(row, index).unwrap_or_default();
        Self {
            position: number(0),
            // A replay of nothing where it cannot be read, which no version writes.
            published: Snapshot::read(row, 1).unwrap_or_else(Snapshot::beginning),
            found: number(2),
            sent: number(3),
            status: text(4).unwrap_or_default(),
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == "running"
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.status == "cancelled"
    }

    pub(super) fn progress(&self) -> ReplayResponse {
        ReplayResponse {
            found_count: self.found,
            sent_count: self.sent,
            done: self.status == "done",
            cancelled: self.is_cancelled(),
        }
    }
}

/// True once this connection is the one that sends the replay's events.
pub(super) async fn lock(connection: &AsyncPgConnection, id: &Uuid) -> Result<bool, Error> {
    let statement =
        Statement::fixed(LOCK).named(Name::of("replay.lock")).bind(Kind::Text, value::text(&id.to_string()));
    let rows = load(connection, statement).await?;
    Ok(rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1]))))
}

async fn end(connection: &AsyncPgConnection, id: Cell, status: &str, caller: &Caller) -> Result<(), Error> {
    let statement = Statement::fixed(END)
        .named(Name::of("replay.end"))
        .bind(Kind::Uuid, id)
        .bind(Kind::Text, value::text(status))
        .bind(Kind::Uuid, Some(caller.workspace.as_bytes().to_vec()))
        .bind(Kind::Text, value::text(&caller.user))
        .bind(Kind::Text, value::text(&caller.service))
        .bind(Kind::Text, value::text(&caller.trace));
    load(connection, statement).await.map(drop)
}

async fn load(connection: &AsyncPgConnection, statement: Statement) -> Result<Vec<DriverRow>, Error> {
    statement.load(connection).await.map_err(|error| Failure::from(error).into())
}

fn unknown(id: &str) -> Error {
    Error::not_found("REPLAY_NOT_FOUND", format!("There is no replay {id}.")).field("replayId", "is unknown")
}

/// What all shards have published: they are at moments of one history, of which the earliest is within all others.
async fn published(connection: &AsyncPgConnection) -> Result<Snapshot, Error> {
    let rows = load(connection, Statement::fixed(PUBLISHED).named(Name::of("relay.published"))).await?;
    let moments = rows.iter().map(|row| Snapshot::read(row, 0)).collect::<Option<Vec<_>>>();
    let least =
        moments.into_iter().flatten().reduce(|one, other| if one.includes(&other) { other } else { one });
    least.ok_or_else(|| Error::internal("the relay has lost its cursors"))
}
