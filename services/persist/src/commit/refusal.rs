//! Why a batch was not committed, in words of the batch: which mutation, which condition, what the value was.

use std::collections::HashSet;

use artel_util::Error;
use tonic::Code;
use uuid::Uuid;

use super::apply::{Broken, Condition};
use super::attempt::Stage;
use super::batch::{Batch, Change, What};
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::measure::Name;
use crate::plan::{Entity, Plans, WORKSPACE};
use crate::sql::{Statement, with_column};
use crate::value::{Array, Kind};

/// A batch that failed by itself.
pub(super) struct Place<'a> {
    pub(super) database: &'a Database,
    pub(super) scope: Scope,
    pub(super) plans: &'a Plans,
    pub(super) batch: &'a Batch,
}

/// What the database refused: it said so while it did `stage`.
pub(super) async fn error(at: Place<'_>, failure: Failure, stage: &Stage) -> Error {
    match (failure, stage) {
        (Failure::Unique { index }, Stage::Writes(entity)) => unique(at.batch, entity, &index),
        (Failure::Reference { constraint, table }, _) => {
            reference(&at, &constraint, &table).await.unwrap_or_else(Error::from)
        }
        (failure, _) => failure.into(),
    }
}

/// A condition that did not hold.
pub(super) fn condition(batch: &Batch, condition: &Condition) -> Error {
    let index = condition.mutation;
    let Some(change) = batch.changes.get(index) else {
        return Error::internal(format!("a condition of mutation {index}, which is none"));
    };
    let (entity, id) = (&change.entity.name, change.id);
    let actual = condition.actual.as_deref();
    let field = &condition.field;
    let shown = actual.unwrap_or("absent");
    let (name, text) = match condition.broken {
        Broken::Row => {
            return Error::not_found("ROW_NOT_FOUND", format!("mutation {index}: there is no {entity} {id}"))
                .with("mutation", index)
                .with("entity", entity)
                .with("id", id);
        }
        Broken::Key => return taken(&change.entity, field).with("mutation", index).with("id", id),
        Broken::Version => ("version", format!("its version is {shown}, not the expected one")),
        Broken::Floor => {
            ("floor", format!("`{field}` is {shown}, and what is taken would bring it below its floor"))
        }
        Broken::Ceiling => {
            ("ceiling", format!("`{field}` is {shown}, and what is added would bring it above its ceiling"))
        }
        Broken::Field => ("field", format!("`{field}` is {shown}, not what is expected")),
    };
    Error::precondition("PRECONDITION_FAILED", format!("mutation {index}: {entity} {id}: {text}"))
        .with("entity", entity)
        .with("id", id)
        .with("condition", name)
        .with("field", field)
        .with("mutation", index)
        .with("actual", actual.unwrap_or_default())
}

/// A unique value is taken. PostgreSQL tells the index alone, so a mutation is named where it can be no other.
fn unique(batch: &Batch, entity: &Entity, index: &str) -> Error {
    let known = entity.indexes.iter().find(|other| other.name(entity) == index);
    let columns: Vec<usize> = match known {
        Some(index) => index.columns.iter().map(|(column, _)| *column).collect(),
        None => vec![entity.key],
    };
    let writes = |change: &Change| match &change.what {
        What::Insert(_) | What::Upsert(_) => true,
        What::Update(cells) => cells.iter().any(|(column, _)| columns.contains(column)),
        What::Adjust(numbers) => numbers.iter().any(|number| columns.contains(&number.column)),
        What::Delete | What::Check => false,
    };
    let changes = batch.changes.iter().enumerate();
    let mut writing = changes.filter(|(_, change)| change.entity.name == entity.name && writes(change));
    let paths: Vec<&str> = columns.iter().map(|column| entity.columns[*column].path.as_str()).collect();
    let error = taken(entity, &paths.join(", "));
    match (writing.next(), writing.next()) {
        (Some((only, change)), None) => error.with("mutation", only).with("id", change.id),
        _ => error,
    }
}

fn taken(entity: &Entity, fields: &str) -> Error {
    let text = format!("Another {} holds the same value of: {fields}", entity.name);
    Error::new(Code::AlreadyExists, "UNIQUE_VIOLATION", text)
        .with("entity", &entity.name)
        .with("fields", fields)
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
