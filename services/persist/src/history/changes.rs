//! A page of the change log as messages. It is read as the role that row-level security binds, in the workspace that it
//! is for, whoever it is read for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use artel_proto::persist::{Change, GetRequest, Operation};
use artel_util::Error;
use uuid::Uuid;

use super::place::Place;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::query::{Gets, MOST_ROWS};
use crate::reads::Reads;
use crate::snapshot::{rows_of_window, window};
use crate::sql::{self, DriverRow, with_column};
use crate::value::{self, Array, Kind};

/// Of a window: the rows of one entity behind a position, of some keys or (where none are named) of all.
const READ: &str = concat!(
    "SELECT w.txid, w.position, w.entity_id, w.operation, w.version, w.actor_user, w.actor_service, w.trace, w.time,
    (SELECT string_agg(k, ',') FROM jsonb_object_keys(w.before) k WHERE w.operation <> 'delete')
FROM ",
    rows_of_window!(
        "change_log",
        " AND workspace_id = $5 AND entity = $6 AND position > $7 AND position > (SELECT floor FROM history)
    AND (cardinality($8) = 0 OR entity_id = ANY($8))"
    ),
    " ORDER BY w.position LIMIT $9"
);

/// What it takes to read the log.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) reads: Arc<Reads>,
    pub(crate) gets: Arc<Gets>,
    pub(crate) plans: Arc<Plans>,
    /// The longest a statement may take.
    pub(crate) time: Duration,
}

/// What of the log is asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) entity: &'a Entity,
    /// Rows of these keys; of all where there are none.
    pub(super) ids: &'a [Uuid],
    pub(super) with_body: bool,
    /// Rows at most.
    pub(super) page: usize,
}

/// A row of the log.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) txid: i64,
    pub(super) position: i64,
    pub(super) id: Uuid,
    /// Without its position, which depends on who reads.
    pub(super) change: Change,
}

impl Log {
    /// The next rows of the window that the place is in.
    pub(super) async fn read(
        &self,
        scope: Scope,
        place: &Place,
        asked: Asked<'_>,
    ) -> Result<Vec<Row>, Error> {
        let mut ids = Array::new(Kind::Uuid);
        asked.ids.iter().for_each(|id| ids.push(Some(id.as_bytes())));
        let mut statement = window(READ, &place.since, &place.until)
            .named(Name::of("change_log.watch"))
            .bind(Kind::Uuid, Some(scope.workspace.as_bytes().to_vec()))
            .bind(Kind::Text, value::text(&asked.entity.name))
            .bind(Kind::Bigint, value::bigint(place.position));
        statement.push_array(ids);
        statement.push(Kind::Bigint, value::bigint(i64::try_from(asked.page).unwrap_or(i64::MAX)));
        let rows = self.reads.database().read(scope, vec![statement]).await?;
        let mut rows: Vec<Row> = rows.iter().flatten().map(|row| Row::of(asked.entity, row)).collect();
        if asked.with_body && !rows.is_empty() {
            self.add_bodies(scope, asked.entity, &mut rows).await?;
        }
        Ok(rows)
    }

    /// Adds to each change its row as it is now.
    async fn add_bodies(&self, scope: Scope, entity: &Entity, rows: &mut [Row]) -> Result<(), Error> {
        let mut ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut bodies = HashMap::with_capacity(ids.len());
        let mut chunks: Vec<&[Uuid]> = ids.chunks(MOST_ROWS).collect();
        while let Some(ids) = chunks.pop() {
            let request = GetRequest {
                entity: entity.name.clone(),
                ids: ids.iter().map(Uuid::to_string).collect(),
                ..GetRequest::default()
            };
            let found = match self.gets.get(&self.reads, &self.plans, scope, &request).await {
                // More than one answer holds: in two.
                Err(error) if error.reason() == "ANSWER_TOO_LARGE" && ids.len() > 1 => {
                    chunks.extend(ids.chunks(ids.len().div_ceil(2)));
                    continue;
                }
                found => found?,
            };
            let key = entity.fields.iter().find(|field| field.column == entity.key);
            for body in found.items {
                let id = key.and_then(|key| value::text_field(&body, key.descriptor.number()));
                if let Some(id) = id.and_then(|id| Uuid::try_parse(id).ok()) {
                    bodies.insert(id, body);
                }
            }
        }
        for row in rows {
            row.change.body = bodies.get(&row.id).cloned();
        }
        Ok(())
    }
}

impl Row {
    fn of(entity: &Entity, row: &DriverRow) -> Self {
        let number = |index| sql::number(row, index).unwrap_or_default();
        let text = |index| {
            with_column(row, index, |cell| String::from_utf8_lossy(cell.unwrap_or_default()).into_owned())
        };
        let id = with_column(row, 2, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
        let id = id.unwrap_or_default();
        let names = text(9);
        let named = |name: &str| entity.columns.iter().find(|column| column.name == name);
        let fields = names.split(',').filter_map(named).map(|column| column.path.clone()).collect();
        let change = Change {
            id: id.to_string(),
            operation: operation(&text(3)).into(),
            version: number(4),
            fields,
            actor_user: text(5),
            actor_service: text(6),
            trace: text(7),
            time: with_column(row, 8, |cell| cell.and_then(value::moment)),
            position: String::new(),
            body: None,
        };
        Self { txid: number(0), position: number(1), id, change }
    }
}

/// As `commit` calls it in the log.
fn operation(name: &str) -> Operation {
    match name {
        "insert" => Operation::Insert,
        "update" => Operation::Update,
        "upsert" => Operation::Upsert,
        "delete" => Operation::Delete,
        "adjust" => Operation::Adjust,
        _ => Operation::Unspecified,
    }
}
