//! Why a batch was not committed, in words of the batch: which mutation, which condition, what the value was.

use std::collections::HashSet;

use artel_util::Error;
use tonic::Code;
use uuid::Uuid;

use super::batch::{Batch, Change, What};
use super::statements::Step;
use crate::database::{Database, Scope};
use crate::failure::{Condition, Failure};
use crate::measure::Name;
use crate::plan::{Entity, Plans, WORKSPACE};
use crate::sql::{Statement, with_column};
use crate::value::{Array, Kind};

/// Where a batch failed.
pub(super) struct Place<'a> {
    pub(super) database: &'a Database,
    pub(super) scope: Scope,
    pub(super) plans: &'a Plans,
    pub(super) batch: &'a Batch,
    pub(super) step: &'a Step,
}

pub(super) async fn error(at: Place<'_>, failure: Failure) -> Error {
    match failure {
        Failure::Condition(condition) => by_condition(at.batch, &condition),
        Failure::Unique { index } => unique(at.batch, at.step, &index),
        Failure::Reference { constraint, table } => {
            reference(&at, &constraint, &table).await.unwrap_or_else(Error::from)
        }
        failure => failure.into(),
    }
}

fn by_condition(batch: &Batch, condition: &Condition) -> Error {
    let index = usize::try_from(condition.mutation).unwrap_or_default();
    let Some(change) = batch.changes.get(index) else {
        return Error::internal(format!("a condition of mutation {index}, which is none"));
    };
    let (entity, id) = (&change.entity.name, change.id);
    if condition.condition == "row" {
        return Error::not_found("ROW_NOT_FOUND", format!("mutation {index}: there is no {entity} {id}"))
            .with("mutation", index)
            .with("entity", entity)
            .with("id", id);
    }
    let actual = condition.actual.as_deref();
    let field = &condition.field;
    let shown = actual.unwrap_or("absent");
    let text = match condition.condition.as_str() {
        "version" => format!("its version is {shown}, not the expected one"),
        "floor" => format!("`{field}` is {shown}, and what is taken would bring it below its floor"),
        "ceiling" => format!("`{field}` is {shown}, and what is added would bring it above its ceiling"),
        _ => format!("`{field}` is {shown}, not what is expected"),
    };
    precondition(format!("mutation {index}: {entity} {id}: {text}"), change, &condition.condition, field)
        .with("mutation", index)
        .with("actual", actual.unwrap_or_default())
}

fn precondition(message: String, change: &Change, condition: &str, field: &str) -> Error {
    Error::precondition("PRECONDITION_FAILED", message)
        .with("entity", &change.entity.name)
        .with("id", change.id)
        .with("condition", condition)
        .with("field", field)
}

fn unique(batch: &Batch, step: &Step, index: &str) -> Error {
    let members: &[usize] = if let Step::Change(members) = step { members } else { &[] };
    let Some(change) = members.first().and_then(|first| batch.changes.get(*first)) else {
        return Failure::Unique { index: index.to_owned() }.into();
    };
    let fields = unique_fields(&change.entity, index).join(", ");
    let text = format!("Another {} holds the same value of: {fields}", change.entity.name);
    let mut error = Error::new(Code::AlreadyExists, "UNIQUE_VIOLATION", text)
        .with("entity", &change.entity.name)
        .with("fields", &fields);
    if let [only] = members {
        error = error.with("mutation", only).with("id", change.id);
    }
    error
}

/// The fields that a unique index stands over; the key for the primary one.
fn unique_fields(entity: &Entity, name: &str) -> Vec<String> {
    let index = entity.indexes.iter().find(|index| index.name(entity) == name);
    let columns: Vec<usize> = match index {
        Some(index) => index.columns.iter().map(|(column, _)| *column).collect(),
        None => vec![entity.key],
    };
    columns.into_iter().map(|column| entity.columns[column].path.clone()).collect()
}

/// A reference that points nowhere, or a row that others still point to. PostgreSQL tells the constraint alone (values
/// are kept back where row-level security is on), so the mutation is looked for.
async fn reference(at: &Place<'_>, constraint: &str, table: &str) -> Result<Error, Failure> {
    let found = at.plans.all().filter(|entity| entity.table == table).find_map(|entity| {
        let reference = entity.references.iter().find(|reference| reference.name(entity) == constraint);
        reference.map(|reference| (entity, reference))
    });
    let Some((entity, reference)) = found else {
        return Err(Failure::Reference { constraint: constraint.to_owned(), table: table.to_owned() });
    };
    let target = at.plans.target(reference);
    let path = &entity.columns[reference.column].path;
    let changes = || at.batch.changes.iter().enumerate();

    let pointing: Vec<(usize, Uuid)> = changes()
        .filter(|(_, change)| change.entity.name == entity.name)
        .filter_map(|(index, change)| Some((index, points_to(change, reference.column)?)))
        .collect();
    let there = existing(at, target, target.key, pointing.iter().map(|(_, id)| *id)).await?;
    let made = |id: Uuid| {
        changes().any(|(_, change)| {
            change.id == id
                && change.entity.name == target.name
                && matches!(change.what, What::Insert(_) | What::Upsert(_))
        })
    };
    let (index, value, text) = if let Some((index, id)) =
        pointing.into_iter().find(|(_, id)| !there.contains(id) && !made(*id))
    {
        let text = format!("`{path}` is {id}, and there is no such {}", target.name);
        (Some(index), Some(id), text)
    } else {
        let deleted: Vec<(usize, Uuid)> = changes()
            .filter(|(_, change)| change.entity.name == target.name && matches!(change.what, What::Delete))
            .map(|(index, change)| (index, change.id))
            .collect();
        let held = existing(at, entity, reference.column, deleted.iter().map(|(_, id)| *id)).await?;
        let found = deleted.into_iter().find(|(_, id)| held.contains(id));
        let text = format!("{} points to it by `{path}`", entity.name);
        (found.map(|(index, _)| index), found.map(|(_, id)| id), text)
    };
    let mut error = Error::precondition("PRECONDITION_FAILED", text)
        .with("entity", index.map_or(&entity.name, |index| &at.batch.changes[index].entity.name))
        .with("condition", "reference")
        .with("field", path)
        .with("references", &target.name)
        .with("actual", value.map(|id| id.to_string()).unwrap_or_default());
    if let Some(index) = index {
        error = error.with("mutation", index).with("id", at.batch.changes[index].id);
    }
    Ok(error)
}

/// Which of the ids stand in the column of some row.
async fn existing(
    at: &Place<'_>,
    entity: &Entity,
    column: usize,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashSet<Uuid>, Failure> {
    let mut array = Array::new(Kind::Uuid);
    ids.for_each(|id| array.push(Some(id.as_bytes())));
    let name = entity.columns[column].of("t");
    let workspace = if entity.scoped { format!("t.{WORKSPACE} = $1 AND ") } else { String::new() };
    let text = format!("SELECT DISTINCT {name} FROM {} t WHERE {workspace}{name} = ANY($2)", entity.table);
    let mut statement = Statement::fixed(text)
        .named(Name::new(&entity.table, "explain"))
        .bind(Kind::Uuid, Some(at.scope.workspace.as_bytes().to_vec()));
    statement.push_array(array);
    let rows = at.database.read(at.scope, vec![statement]).await?;
    let id = |row| with_column(row, 0, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
    Ok(rows.iter().flatten().filter_map(id).collect())
}

fn points_to(change: &Change, column: usize) -> Option<Uuid> {
    if column == change.entity.key {
        return matches!(change.what, What::Insert(_) | What::Upsert(_)).then_some(change.id);
    }
    let cell = match &change.what {
        What::Insert(cells) | What::Upsert(cells) => cells[column].as_deref(),
        What::Update(cells) => cells.iter().find(|(other, _)| *other == column)?.1.as_deref(),
        _ => None,
    };
    Uuid::from_slice(cell?).ok()
}
