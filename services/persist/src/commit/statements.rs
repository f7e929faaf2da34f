//! A group as statements: one for all rows of an entity that are read, inserted, updated or deleted, and one each for
//! keys, change log and events.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::apply::Logged;
use super::batch::{Batch, Change, What};
use super::member::Member;
use super::rows::{Held, Table, written};
use super::text::{Form, Texts};
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::sql::Statement;
use crate::value::{self, Array, Cell, Kind};

macro_rules! insert_keys {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (workspace_id, key, digest, answer, commit_id)
SELECT $1, k.key, k.digest, k.answer, k.commit_id FROM unnest($2, $3, $4, $5) AS k (key, digest, answer, commit_id)
"
        )
    };
}

/// Of two commits with one key the second waits here for the first. The keys come in order, so that nobody waits in a
/// circle. Those of the turn before were all committed before this looks: a turn ends when nobody is at it.
macro_rules! take {
    ($table:literal) => {
        concat!(
            insert_keys!($table),
            "WHERE NOT EXISTS (SELECT FROM ",
            $table,
            "_before b WHERE b.workspace_id = $1 AND b.key = k.key)
ON CONFLICT (workspace_id, key) DO NOTHING
RETURNING txid, commit_id"
        )
    };
}

/// The same where no key is taken yet: one that is ends the transaction. What the turn before knows comes a second time,
/// which the primary key refuses like a key of this turn.
macro_rules! take_free {
    ($table:literal) => {
        concat!(
            insert_keys!($table),
            "UNION ALL
SELECT b.workspace_id, b.key, b.digest, b.answer, b.commit_id FROM ",
            $table,
            "_before b WHERE b.workspace_id = $1 AND b.key = ANY($2)"
        )
    };
}

/// Of commits with a key of their caller's, and of those without: what is kept of these only tells what became of them.
type Take = [&'static str; 2];

const TAKE: Take = [take!("idempotency"), take!("outcome")];
const TAKE_FREE: Take = [take_free!("idempotency"), take_free!("outcome")];

/// A refused commit leaves its key free.
const FREE_KEYS: &str = "DELETE FROM idempotency WHERE workspace_id = $1 AND key = ANY($2)";

const LOG: &str =
    "INSERT INTO change_log (txid, workspace_id, entity, entity_id, operation, version, ordinal,
    actor_user, actor_service, trace, before, after)
SELECT $1, $2, l.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12) AS l";

const ANNOUNCE: &str = "INSERT INTO outbox (txid, workspace_id, id, type, name, key, body, expire_time,
    actor_user, actor_service, trace)
SELECT $1, $2, e.* FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11) AS e";

/// References are checked at the end of the transaction; this makes it the end of its statements.
const CHECK_REFERENCES: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// Takes the keys of these members, which come in the order of the keys.
pub(super) fn take_keys(workspace: Uuid, members: &[&Member]) -> Vec<Statement> {
    keys(TAKE, workspace, members)
}

/// Takes keys that nobody has, or fails with all others.
pub(super) fn take_free_keys(workspace: Uuid, members: &[&Member]) -> Vec<Statement> {
    keys(TAKE_FREE, workspace, members)
}

fn keys([keyed, unkeyed]: Take, workspace: Uuid, members: &[&Member]) -> Vec<Statement> {
    let all = [(true, keyed, "idempotency.insert"), (false, unkeyed, "outcome.insert")];
    let statements = all.into_iter().filter_map(|(keyed, text, name)| {
        let mut arrays = [Kind::Text, Kind::Bytes, Kind::Bytes, Kind::Uuid].map(Array::new);
        let mut is_empty = true;
        for batch in members.iter().map(|member| &member.batch).filter(|batch| batch.keyed == keyed) {
            is_empty = false;
            let cells: [&[u8]; 4] =
                [batch.key.as_bytes(), &batch.digest, &batch.answer, batch.commit_id.as_bytes()];
            arrays.iter_mut().zip(cells).for_each(|(array, cell)| array.push(Some(cell)));
        }
        let statement = Statement::fixed(text).named(Name::of(name)).bind(Kind::Uuid, cell(workspace));
        (!is_empty).then(|| with(statement, arrays))
    });
    statements.collect()
}

/// Gives the keys of refused members free.
pub(super) fn free_keys<'a>(workspace: Uuid, keys: impl Iterator<Item = &'a str>) -> Statement {
    let mut array = Array::new(Kind::Text);
    keys.for_each(|key| array.push(Some(key.as_bytes())));
    let statement = Statement::fixed(FREE_KEYS).named(Name::of("idempotency.delete"));
    with(statement.bind(Kind::Uuid, cell(workspace)), [array])
}

/// Locks and reads the rows of a table, one of those forms; `None` where there is nothing to be read.
pub(super) fn read(
    texts: &Texts,
    workspace: Uuid,
    table: &mut Table,
    form: fn(Vec<usize>, bool) -> Form,
) -> Option<Statement> {
    let mut keys = Array::new(Kind::Uuid);
    let count = table.keys().map(|id| keys.push(Some(id.as_bytes()))).count();
    if count == 0 {
        return None;
    }
    let entity = Arc::clone(&table.entity);
    let all = || table.columns.iter().copied().chain(written(&entity)).collect();
    table.columns = texts.set(&entity, &table.columns, &all());
    let form = form(table.columns.iter().copied().collect(), table.deletes);
    Some(with(texts.get(&entity, form).bind(Kind::Uuid, cell(workspace)), [keys]))
}

/// Finds the rows of a table that somebody else has locked.
pub(super) fn locked(texts: &Texts, workspace: Uuid, table: &Table) -> Statement {
    let mut keys = Array::new(Kind::Uuid);
    table.keys().for_each(|id| keys.push(Some(id.as_bytes())));
    with(texts.get(&table.entity, Form::Locked).bind(Kind::Uuid, cell(workspace)), [keys])
}

/// Writes what became of a table's rows. What frees a unique value comes before what takes one.
pub(super) fn write(texts: &Texts, workspace: Uuid, table: &Table) -> Vec<Statement> {
    let entity = &table.entity;
    let (mut gone, mut changed, mut made) = (Vec::new(), Vec::new(), Vec::new());
    for (id, row) in &table.rows {
        match (&row.before, &row.now) {
            (None, Some(now)) => made.push((id, now)),
            (Some(_), None) => gone.push(id),
            (Some(_), Some(now)) if row.is_replaced => {
                gone.push(id);
                made.push((id, now));
            }
            (Some(before), Some(now)) if before.version(entity) != now.version(entity) => {
                changed.push((id, now));
            }
            _ => {}
        }
    }
    let start = |form: Form| texts.get(entity, form).bind(Kind::Uuid, cell(workspace));
    let mut statements = Vec::new();
    if !gone.is_empty() {
        let mut keys = Array::new(Kind::Uuid);
        gone.iter().for_each(|id| keys.push(Some(id.as_bytes())));
        statements.push(with(start(Form::Delete), [keys]));
    }
    if !changed.is_empty() {
        let stamps = [entity.version].into_iter().chain(entity.update_time).chain(entity.create_time);
        let stamps: BTreeSet<usize> = stamps.collect();
        let most =
            table.columns.difference(&stamps).copied().filter(|column| *column != entity.key).collect();
        let columns: Vec<usize> = texts.set(entity, &table.written, &most).into_iter().collect();
        statements.push(rows(start(Form::Update(columns.clone())), entity, &columns, &changed));
    }
    if !made.is_empty() {
        let columns: Vec<usize> = written(entity).chain(entity.delete_time).collect();
        statements.push(rows(start(Form::Insert(columns.clone())), entity, &columns, &made));
    }
    statements
}

fn rows(statement: Statement, entity: &Entity, columns: &[usize], rows: &[(&Uuid, &Held)]) -> Statement {
    let (mut keys, mut versions) = (Array::new(Kind::Uuid), Array::new(Kind::Bigint));
    for (id, held) in rows {
        keys.push(Some(id.as_bytes()));
        versions.push(held.0[entity.version].as_deref());
    }
    let columns = columns.iter().map(|column| {
        let mut cells = Array::new(entity.columns[*column].carrier());
        rows.iter().for_each(|(_, held)| cells.push(held.0[*column].as_deref()));
        cells
    });
    with(statement, [keys, versions].into_iter().chain(columns))
}

/// The rows of the change log, in the order of the commits and their mutations.
pub(super) fn log<'a>(
    txid: &Cell,
    workspace: Uuid,
    members: impl Iterator<Item = (&'a Member, &'a [Logged])>,
) -> Option<Statement> {
    use Kind::{Bigint, Integer, Json, Text};
    let kinds = [Text, Kind::Uuid, Text, Bigint, Integer, Text, Text, Text, Json, Json];
    let mut arrays = kinds.map(Array::new);
    let mut is_empty = true;
    for (member, logged) in members {
        let caller = &member.caller;
        for row in logged {
            is_empty = false;
            let change = &member.batch.changes[row.mutation];
            let (version, ordinal) = (value::bigint(row.version), i32::try_from(row.mutation).ok());
            let ordinal = ordinal.and_then(value::integer);
            let cells: [Option<&[u8]>; 10] = [
                Some(change.entity.name.as_bytes()),
                Some(change.id.as_bytes()),
                Some(row.operation.as_bytes()),
                version.as_deref(),
                ordinal.as_deref(),
                Some(caller.user.as_bytes()),
                Some(caller.service.as_bytes()),
                Some(caller.trace.as_bytes()),
                row.before.as_deref(),
                row.after.as_deref(),
            ];
            arrays.iter_mut().zip(cells).for_each(|(array, cell)| array.push(cell));
        }
    }
    (!is_empty).then(|| with(stamped(LOG, "change_log.insert", txid, workspace), arrays))
}

/// The events, in the order of the commits.
pub(super) fn announce<'a>(
    txid: &Cell,
    workspace: Uuid,
    members: impl Iterator<Item = &'a Member>,
) -> Option<Statement> {
    use Kind::{Bytes, Text, Timestamp};
    let mut arrays = [Kind::Uuid, Text, Text, Text, Bytes, Timestamp, Text, Text, Text].map(Array::new);
    let mut is_empty = true;
    for member in members {
        let caller = &member.caller;
        for event in &member.batch.events {
            is_empty = false;
            let cells: [Option<&[u8]>; 9] = [
                Some(event.id.as_bytes()),
                Some(event.event_type.as_bytes()),
                Some(event.name.as_bytes()),
                Some(event.key.as_bytes()),
                Some(&event.body),
                event.expire.as_deref(),
                Some(caller.user.as_bytes()),
                Some(caller.service.as_bytes()),
                Some(caller.traceparent.as_bytes()),
            ];
            arrays.iter_mut().zip(cells).for_each(|(array, cell)| array.push(cell));
        }
    }
    (!is_empty).then(|| with(stamped(ANNOUNCE, "outbox.insert", txid, workspace), arrays))
}

/// The check of references, where a reference could come to point nowhere by these batches.
pub(super) fn check_references<'a>(
    plans: &Plans,
    batches: impl Iterator<Item = &'a Batch>,
) -> Option<Statement> {
    let mut changes = batches.flat_map(|batch| &batch.changes);
    changes
        .any(|change| moves_references(plans, change))
        .then(|| Statement::fixed(CHECK_REFERENCES).named(Name::of("transaction.check_references")))
}

fn moves_references(plans: &Plans, change: &Change) -> bool {
    let own = &change.entity.references;
    match &change.what {
        What::Insert(_) | What::Upsert(_) => !own.is_empty(),
        What::Update(cells) => cells.iter().any(|(column, _)| own.iter().any(|to| to.column == *column)),
        What::Delete => change.entity.delete_time.is_none() && plans.is_referenced(&change.entity),
        What::Adjust(_) | What::Check => false,
    }
}

fn stamped(text: &'static str, name: &str, txid: &Cell, workspace: Uuid) -> Statement {
    Statement::fixed(text)
        .named(Name::of(name))
        .bind(Kind::Bigint, txid.clone())
        .bind(Kind::Uuid, cell(workspace))
}

fn with(mut statement: Statement, arrays: impl IntoIterator<Item = Array>) -> Statement {
    arrays.into_iter().for_each(|array| statement.push_array(array));
    statement
}

fn cell(id: Uuid) -> Cell {
    Some(id.as_bytes().to_vec())
}
