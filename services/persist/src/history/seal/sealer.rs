//! Sets seals. Of several copies one does, the one that holds a lock of its connection; all that it writes for a window
//! is one transaction on that connection, so whatever happens to it, each row is sealed once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use futures::future::try_join_all;
use uuid::Uuid;

use super::chain::{COLUMNS, Head, LAST, Range, Seal};
use super::keys::Keys;
use super::tree::{Digest, leaf, sealed_columns};
use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::snapshot::{Snapshot, rows_of_window, window};
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind};

/// The number of the lock that one sealer holds.
const LOCK: i64 = 0x0061_7274_656c_0005;
/// How long another copy's lock is left alone before it is tried again.
const STAND_BY: Duration = Duration::from_millis(500);
/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The moment, how far the log is sealed, and the last position of a restored dump, of which transactions lie in the
/// future.
const STATE: &str = "SELECT s.now::text, h.epoch, h.floor, h.sealed, (
    SELECT max(c.position) FROM change_log c
    WHERE c.txid >= pg_snapshot_xmax(s.now)::text::bigint AND c.position > h.floor
) FROM history h, (SELECT pg_current_snapshot() AS now) s";

/// Opens the rows of a window: behind `$5`, up to `$6`. A row is its workspace, and then what is sealed of it.
static OPEN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "DECLARE unsealed NO SCROLL CURSOR FOR SELECT w.workspace_id, {} FROM {} ORDER BY w.workspace_id, w.position",
        sealed_columns(),
        rows_of_window!("change_log", " AND position > $5 AND position <= $6")
    )
});
/// Where the sealed columns begin, and the time's place among them.
const FIRST: usize = 1;
const TIME: usize = 10;

const FETCH: &str = "FETCH 2000 FROM unsealed";
const CLOSE: &str = "CLOSE unsealed";

/// The last seals of workspaces.
static HEADS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT s.* FROM unnest($1) AS w (id) CROSS JOIN LATERAL (
            SELECT {COLUMNS} FROM seals WHERE workspace_id = w.id ORDER BY number DESC LIMIT 1) s"
    )
});

const MOVE: &str = "UPDATE history SET epoch = $1, floor = $2, sealed = $3, time = now()
WHERE epoch = $4 AND sealed = $5";

/// Chains that have no end in this epoch.
const UNENDED: &str = "SELECT DISTINCT workspace_id FROM seals s WHERE epoch = $1
    AND NOT EXISTS (SELECT FROM seals e WHERE e.workspace_id = s.workspace_id AND e.epoch = $1 AND e.until = $2)";

/// Seals the change log.
pub(crate) struct Sealer {
    system: Database,
    keys: Arc<Keys>,
    /// How often it looks.
    every: Duration,
    /// Rows of a seal at most.
    most: usize,
}

/// How far the log is sealed.
#[derive(Debug, Clone)]
struct State {
    now: Snapshot,
    epoch: i64,
    floor: i64,
    sealed: Snapshot,
    /// Where the rows of a dump end, if the database was restored from one since.
    restored: Option<i64>,
}

/// What is sealed at once: the rows that `until` sees behind what is sealed, up to the position `through`.
struct Window<'a> {
    state: &'a State,
    until: Snapshot,
    through: i64,
}

/// The seals of a window in the making: rows come workspace by workspace, in the order of positions.
struct Making<'a> {
    keys: &'a Keys,
    most: usize,
    window: &'a Window<'a>,
    heads: HashMap<Uuid, Head>,
    current: Option<(Uuid, i64)>,
    leaves: Vec<(i64, Digest)>,
    seals: Vec<Seal>,
    rows: usize,
    oldest: Option<DateTime<Utc>>,
}

impl Sealer {
    pub(crate) fn new(system: Database, keys: Arc<Keys>, every: Duration, most: usize) -> Self {
        Self { system, keys, every, most }
    }

    /// Seals until the future is dropped.
    pub(crate) async fn run(self) {
        let mut pause = PAUSE.0;
        loop {
            let Err(failure) = self.lead(&mut pause).await;
            tracing::warn!(?failure, "sealing pauses");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Seals what there is, once; how many rows that were.
    pub(crate) async fn once(&self) -> Result<usize, Failure> {
        let connection = self.locked().await?;
        self.step(&connection).await
    }

    /// Seals as the one that does, as long as the connection holds.
    async fn lead(&self, pause: &mut Duration) -> Result<std::convert::Infallible, Failure> {
        let connection = self.locked().await?;
        tracing::info!(public_key = hex::encode(self.keys.public()), "sealing the change log");
        loop {
            self.step(&connection).await?;
            *pause = PAUSE.0;
            tokio::time::sleep(self.every).await;
        }
    }

    async fn locked(&self) -> Result<AsyncPgConnection, Failure> {
        // Not the pool's any more: the lock must end with it.
        let connection: AsyncPgConnection = Object::take(self.system.connection().await?);
        let lock =
            Statement::fixed("SELECT pg_try_advisory_lock($1)").bind(Kind::Bigint, value::bigint(LOCK));
        loop {
            let rows = lock.clone().load(&connection).await?;
            if rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1]))) {
                return Ok(connection);
            }
            tokio::time::sleep(STAND_BY).await;
        }
    }

    /// Seals what was committed up to now.
    async fn step(&self, connection: &AsyncPgConnection) -> Result<usize, Failure> {
        // One snapshot for all of it: what it sees is what is sealed.
        run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let done = self.within(connection).await;
        match &done {
            Ok(_) => run(connection, "COMMIT").await?,
            // Where even this fails, the connection is gone, and with it the transaction.
            Err(_) => run(connection, "ROLLBACK").await?,
        }
        let (rows, oldest) = done?;
        let age = oldest.and_then(|oldest| (Utc::now() - oldest).to_std().ok()).unwrap_or_default();
        metrics::gauge!("artel_persist_seal_age_seconds").set(age.as_secs_f64());
        metrics::counter!("artel_persist_rows_sealed_total").increment(rows as u64);
        metrics::gauge!("artel_persist_sealed_timestamp_seconds").set(Utc::now().timestamp() as f64);
        Ok(rows)
    }

    async fn within(
        &self,
        connection: &AsyncPgConnection,
    ) -> Result<(usize, Option<DateTime<Utc>>), Failure> {
        let state = State::read(connection).await?;
        let Some(last) = state.restored else {
            let window = Window { state: &state, until: state.now.clone(), through: LAST };
            let (rows, oldest) = self.seal(connection, &window).await?;
            if rows > 0 {
                state.advance(connection, state.epoch, state.floor, &state.now).await?;
            }
            return Ok((rows, oldest));
        };
        // All that the dump held was over when it was made. Its transactions are told by position from now on.
        let window = Window { state: &state, until: Snapshot::end(), through: last };
        let (rows, oldest) = self.seal(connection, &window).await?;
        self.end_chains(connection, &window).await?;
        state.advance(connection, state.epoch + 1, last, &Snapshot::beginning()).await?;
        tracing::warn!(
            rows,
            epoch = state.epoch + 1,
            "the database was restored from a dump: a new epoch begins"
        );
        Ok((rows, oldest))
    }

    /// Seals the rows of a window, each workspace's by themselves.
    async fn seal(
        &self,
        connection: &AsyncPgConnection,
        window: &Window<'_>,
    ) -> Result<(usize, Option<DateTime<Utc>>), Failure> {
        window.open(connection).await?;
        let mut making = Making::new(&self.keys, self.most, window);
        loop {
            let page =
                Statement::fixed(FETCH).named(Name::of("change_log.unsealed")).load(connection).await?;
            making.learn_heads(connection, &page).await?;
            for row in &page {
                making.add(row)?;
            }
            if page.is_empty() {
                making.end();
            }
            let inserts = making.seals.drain(..).map(|seal| seal.insert());
            try_join_all(inserts.map(|insert| insert.load(connection)).collect::<Vec<_>>()).await?;
            if page.is_empty() {
                break;
            }
        }
        run(connection, CLOSE).await?;
        Ok((making.rows, making.oldest))
    }

    /// Ends the chains of those workspaces that had nothing left to seal.
    async fn end_chains(&self, connection: &AsyncPgConnection, window: &Window<'_>) -> Result<(), Failure> {
        let unended = Statement::fixed(UNENDED)
            .named(Name::of("seals.unended"))
            .bind(Kind::Bigint, value::bigint(window.state.epoch))
            .bind(Kind::Text, value::text(&window.until.to_string()));
        let rows = unended.load(connection).await?;
        let mut making = Making::new(&self.keys, self.most, window);
        making.learn_heads(connection, &rows).await?;
        for row in &rows {
            making.current = Some((workspace(row)?, window.state.floor));
            making.close(window.through);
        }
        for seal in making.seals {
            seal.insert().load(connection).await?;
        }
        Ok(())
    }
}

impl State {
    async fn read(connection: &AsyncPgConnection) -> Result<Self, Failure> {
        let rows = Statement::fixed(STATE).named(Name::of("history.state")).load(connection).await?;
        let read = |row: &DriverRow| {
            let number = |index| sql::number(row, index);
            let snapshot = |index| Snapshot::read(row, index);
            Some(Self {
                now: snapshot(0)?,
                epoch: number(1)?,
                floor: number(2)?,
                sealed: snapshot(3)?,
                restored: number(4),
            })
        };
        rows.first()
            .and_then(read)
            .ok_or_else(|| Failure::Refused("the sealer has lost its place".to_owned()))
    }

    /// Moves on, where nobody else has.
    async fn advance(
        &self,
        connection: &AsyncPgConnection,
        epoch: i64,
        floor: i64,
        sealed: &Snapshot,
    ) -> Result<(), Failure> {
        Statement::fixed(MOVE)
            .named(Name::of("history.move"))
            .bind(Kind::Bigint, value::bigint(epoch))
            .bind(Kind::Bigint, value::bigint(floor))
            .bind(Kind::Text, value::text(&sealed.to_string()))
            .bind(Kind::Bigint, value::bigint(self.epoch))
            .bind(Kind::Text, value::text(&self.sealed.to_string()))
            .load(connection)
            .await?;
        Ok(())
    }
}

impl Window<'_> {
    async fn open(&self, connection: &AsyncPgConnection) -> Result<(), Failure> {
        window(OPEN.as_str(), &self.state.sealed, &self.until)
            .named(Name::of("change_log.open"))
            .bind(Kind::Bigint, value::bigint(self.state.floor))
            .bind(Kind::Bigint, value::bigint(self.through))
            .load(connection)
            .await?;
        Ok(())
    }
}

impl<'a> Making<'a> {
    fn new(keys: &'a Keys, most: usize, window: &'a Window<'a>) -> Self {
        Self {
            keys,
            most,
            window,
            heads: HashMap::new(),
            current: None,
            leaves: Vec::new(),
            seals: Vec::new(),
            rows: 0,
            oldest: None,
        }
    }

    /// The ends of the chains that these rows go on.
    async fn learn_heads(
        &mut self,
        connection: &AsyncPgConnection,
        rows: &[DriverRow],
    ) -> Result<(), Failure> {
        let mut ids = Vec::new();
        for row in rows {
            let id = workspace(row)?;
            if let Entry::Vacant(place) = self.heads.entry(id) {
                place.insert(Head::none());
                ids.push(id);
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let mut array = Array::new(Kind::Uuid);
        ids.iter().for_each(|id| array.push(Some(id.as_bytes())));
        let mut statement = Statement::fixed(HEADS.as_str()).named(Name::of("seals.heads"));
        statement.push_array(array);
        for row in statement.load(connection).await? {
            let seal =
                Seal::read(&row).ok_or_else(|| Failure::Refused("a seal cannot be read".to_owned()))?;
            self.heads.insert(seal.workspace, seal.head());
        }
        Ok(())
    }

    fn add(&mut self, row: &DriverRow) -> Result<(), Failure> {
        let (workspace, floor) = (workspace(row)?, self.window.state.floor);
        if self.current.is_some_and(|(current, _)| current != workspace) {
            self.close(self.window.through);
        }
        if self.leaves.len() >= self.most {
            let last = self.leaves.last().map_or(floor, |(position, _)| *position);
            self.close(last);
            self.current = Some((workspace, last));
        }
        self.current.get_or_insert((workspace, floor));
        let position = sql::number(row, FIRST).unwrap_or_default();
        self.leaves.push((position, leaf(row, FIRST)));
        self.rows += 1;
        let time = with_column(row, FIRST + TIME, |cell| cell.and_then(value::moment));
        let time = time.and_then(|time| artel_util::time::to_chrono(&time));
        self.oldest = self.oldest.into_iter().chain(time).min();
        Ok(())
    }

    /// There are no more rows.
    fn end(&mut self) {
        self.close(self.window.through);
    }

    /// Sets the seal of the current workspace over what was added since the one before.
    fn close(&mut self, through: i64) {
        let Some((workspace, after)) = self.current.take() else { return };
        let Some(head) = self.heads.get_mut(&workspace) else { return };
        let epoch = self.window.state.epoch;
        let since = match &head.range {
            // Another part of this window.
            Some(range) if range.epoch == epoch && range.until == self.window.until => range.since.clone(),
            _ => head.since(epoch),
        };
        let range = Range { epoch, since, until: self.window.until.clone(), after, through };
        let seal = Seal::set(self.keys, workspace, head, range, &self.leaves);
        self.leaves.clear();
        *head = seal.head();
        self.seals.push(seal);
    }
}

fn workspace(row: &DriverRow) -> Result<Uuid, Failure> {
    let id = with_column(row, 0, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
    id.ok_or_else(|| Failure::Refused("a row of the change log is of no workspace".to_owned()))
}

async fn run(connection: &AsyncPgConnection, text: &'static str) -> Result<(), Failure> {
    Statement::fixed(text).load(connection).await?;
    Ok(())
}
