//! Why a batch was not committed, in words of the batch: which mutation, which condition, what the value was.

use artel_util::Error;
use tonic::Code;

use super::batch::{Batch, Change};
use super::statements::Step;
use crate::failure::{Condition, Failure};
use crate::plan::{Entity, Plans, WORKSPACE};

pub(super) fn error(plans: &Plans, batch: &Batch, step: &Step, failure: Failure) -> Error {
    match failure {
        Failure::Condition(condition) => by_condition(batch, &condition),
        Failure::Unique { index } => unique(batch, step, &index),
        Failure::Reference { constraint, table, detail } => reference(plans, batch, &constraint, &table, &detail),
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

/// A reference that points nowhere, or a row that others still point to. The violation tells the constraint; which
/// mutation caused it is told by the value in PostgreSQL's detail, where it can be found there.
fn reference(plans: &Plans, batch: &Batch, constraint: &str, table: &str, detail: &str) -> Error {
    let found = plans.all().find_map(|entity| {
        let reference = entity.references.iter().find(|reference| reference.name(entity) == constraint);
        reference.filter(|_| entity.table == table).map(|reference| (entity, reference))
    });
    let Some((entity, reference)) = found else {
        let failure = Failure::Reference {
            constraint: constraint.to_owned(),
            table: table.to_owned(),
            detail: detail.to_owned(),
        };
        return failure.into();
    };
    let column = &entity.columns[reference.column];
    let value = detail
        .split_once(")=(")
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(values, _)| values.rsplit(", ").next())
        .unwrap_or_default();
    let deleted = batch.changes.iter().position(|change| {
        change.entity.name == reference.entity
            && matches!(change.what, super::What::Delete)
            && change.id.to_string() == value
    });
    let pointing = || batch.changes.iter().position(|change| change.entity.name == entity.name && points(change, reference.column, value));
    let (index, text) = match deleted {
        Some(index) => (Some(index), format!("{} still points to it by `{}`", entity.name, column.path)),
        None => {
            let what = format!("`{}` of {} is {value}, and there is no such {}", column.path, entity.name, reference.entity);
            (pointing(), what)
        }
    };
    let mut error = Error::precondition("PRECONDITION_FAILED", text)
        .with("entity", index.map_or(&entity.name, |index| &batch.changes[index].entity.name))
        .with("condition", "reference")
        .with("field", &column.path)
        .with("references", &reference.entity)
        .with("actual", value);
    if let Some(index) = index {
        error = error.with("mutation", index).with("id", batch.changes[index].id);
    }
    debug_assert_ne!(column.name, WORKSPACE);
    error
}

fn points(change: &Change, column: usize, value: &str) -> bool {
    use super::What;
    if column == change.entity.key {
        return change.id.to_string() == value;
    }
    let cell = match &change.what {
        What::Insert(cells) | What::Upsert(cells) => cells[column].as_deref(),
        What::Update(cells) => {
            cells.iter().find(|(other, _)| *other == column).and_then(|(_, cell)| cell.as_deref())
        }
        _ => None,
    };
    cell.and_then(|bytes| uuid::Uuid::from_slice(bytes).ok()).is_some_and(|id| id.to_string() == value)
}
