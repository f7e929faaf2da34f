//! What a batch does to the rows that its group holds: conditions are decided here, one batch after the other, each in
//! the state that those before it left. A batch that is refused leaves no trace.

use std::collections::BTreeSet;

use super::batch::{Adjustment, Batch, Change, What};
use super::image;
use super::rows::{Held, Row, Tables, written};
use crate::plan::Entity;
use crate::value::{self, Cell, Kind, read_i32, read_i64};

/// What a batch did.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// The version of each mutation's row; 0 after a delete.
    pub(super) versions: Vec<i64>,
    pub(super) log: Vec<Logged>,
}

/// A row of the change log.
#[derive(Debug)]
pub(super) struct Logged {
    /// The mutation's place in its batch.
    pub(super) mutation: usize,
    pub(super) operation: &'static str,
    pub(super) version: i64,
    pub(super) before: Cell,
    pub(super) after: Cell,
}

/// Why a mutation was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) mutation: usize,
    pub(super) broken: Broken,
    pub(super) field: String,
    /// What the value was; `None` for NULL and for what is secret.
    pub(super) actual: Option<String>,
}

/// What did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// There is no such row.
    Row,
    /// There is such a row already.
    Key,
    Version,
    Field,
    Floor,
    Ceiling,
}

impl Broken {
    fn of(self, field: &str, actual: Option<String>) -> Condition {
        Condition { mutation: 0, broken: self, field: field.to_owned(), actual }
    }
}

impl Tables {
    /// Applies a batch at this moment, or nothing of it.
    ///
    /// That a key is taken is told only of a batch that nothing else is wrong with: alone, it may be the database that
    /// finds it out, after all conditions.
    pub(super) fn apply(&mut self, batch: &Batch, now: &Cell) -> Result<Applied, Condition> {
        let mut applied = Applied::default();
        let mut taken = None;
        let mut undo = Vec::with_capacity(batch.changes.len());
        for (mutation, change) in batch.changes.iter().enumerate() {
            let Some(table) = self.0.get_mut(&change.entity.name) else { continue };
            let Some(row) = table.rows.get_mut(&change.id) else { continue };
            undo.push((change, row.now.clone(), row.is_replaced));
            let step = Step { change, entity: &change.entity, now };
            match step.take(row, &mut table.written) {
                Ok((version, logged)) => {
                    applied.versions.push(version);
                    applied.log.extend(logged.map(|logged| Logged { mutation, ..logged }));
                }
                Err(condition) if condition.broken == Broken::Key => {
                    taken = taken.or(Some(Condition { mutation, ..condition }));
                }
                Err(condition) => {
                    self.undo(undo);
                    return Err(Condition { mutation, ..condition });
                }
            }
        }
        if let Some(condition) = taken {
            self.undo(undo);
            return Err(condition);
        }
        Ok(applied)
    }

    fn undo(&mut self, undo: Vec<(&Change, Option<Held>, bool)>) {
        for (change, held, was_replaced) in undo.into_iter().rev() {
            let table = self.0.get_mut(&change.entity.name);
            if let Some(row) = table.and_then(|table| table.rows.get_mut(&change.id)) {
                (row.now, row.is_replaced) = (held, was_replaced);
            }
        }
    }
}

struct Step<'a> {
    change: &'a Change,
    entity: &'a Entity,
    now: &'a Cell,
}

type Taken = Result<(i64, Option<Logged>), Condition>;

impl Step<'_> {
    fn take(&self, row: &mut Row, touched: &mut BTreeSet<usize>) -> Taken {
        let Self { change, entity, .. } = *self;
        if let What::Insert(cells) = &change.what {
            return if row.now.is_some() {
                Err(Broken::Key.of(&entity.columns[entity.key].path, None))
            } else {
                Ok(self.create(row, cells, "insert"))
            };
        }
        let is_upsert = matches!(change.what, What::Upsert(_));
        let Some(held) = row.now.as_mut().filter(|held| is_upsert || !held.is_deleted(entity)) else {
            return match &change.what {
                What::Upsert(cells) if change.expected_version == 0 && change.expected.is_empty() => {
                    Ok(self.create(row, cells, "upsert"))
                }
                _ => Err(Broken::Row.of("", None)),
            };
        };
        self.expect(held)?;
        let before = Held(held.0.clone());
        match &change.what {
            What::Check => Ok((held.version(entity), None)),
            What::Adjust(numbers) => {
                for number in numbers {
                    self.adjust(held, number)?;
                }
                let columns = || numbers.iter().map(|number| number.column);
                touched.extend(columns());
                let version = held.stamp(entity, self.now);
                let image = |held: &Held| Some(image::object(entity, columns(), &held.0));
                Ok((version, Some(logged("adjust", version, image(&before), image(held)))))
            }
            What::Update(cells) => {
                for (column, cell) in cells {
                    held.0[*column].clone_from(cell);
                }
                let columns = || cells.iter().map(|(column, _)| *column);
                touched.extend(columns());
                let version = held.stamp(entity, self.now);
                let (before, after) = difference(entity, columns(), &before, held);
                Ok((version, Some(logged("update", version, before, after))))
            }
            What::Upsert(cells) => {
                for column in written(entity) {
                    held.0[column].clone_from(&cells[column]);
                }
                touched.extend(written(entity));
                if let Some(column) = entity.delete_time {
                    held.0[column] = None;
                    touched.insert(column);
                }
                let version = held.stamp(entity, self.now);
                let (before, after) = difference(entity, written(entity), &before, held);
                Ok((version, Some(logged("upsert", version, before, after))))
            }
            What::Delete => {
                let version = held.stamp(entity, self.now);
                if let Some(column) = entity.delete_time {
                    held.0[column].clone_from(self.now);
                    touched.insert(column);
                } else {
                    row.now = None;
                }
                let image = image::object(entity, written(entity), &before.0);
                Ok((0, Some(logged("delete", version, Some(image), None))))
            }
            // Answered above.
            What::Insert(_) => Err(Broken::Key.of("", None)),
        }
    }

    fn create(&self, row: &mut Row, cells: &[Cell], operation: &'static str) -> (i64, Option<Logged>) {
        let entity = self.entity;
        let mut held = Held(vec![None; entity.columns.len()]);
        for column in written(entity) {
            held.0[column].clone_from(&cells[column]);
        }
        held.0[entity.key] = Some(self.change.id.as_bytes().to_vec());
        if let Some(column) = entity.create_time {
            held.0[column].clone_from(self.now);
        }
        let version = held.stamp(entity, self.now);
        let after = image::object(entity, written(entity), &held.0);
        row.is_replaced = row.before.is_some();
        row.now = Some(held);
        (version, Some(logged(operation, version, None, Some(after))))
    }

    /// Version and values that the mutation asks for.
    fn expect(&self, held: &Held) -> Result<(), Condition> {
        let Self { change, entity, .. } = *self;
        let version = held.version(entity);
        if change.expected_version != 0 && change.expected_version != version {
            let field = &entity.columns[entity.version].path;
            return Err(Broken::Version.of(field, Some(version.to_string())));
        }
        for (index, expected) in &change.expected {
            let (column, actual) = (&entity.columns[*index], held.0[*index].as_deref());
            if !image::same(column, actual, expected.as_deref()) {
                return Err(Broken::Field.of(&column.path, image::shown(column, actual)));
            }
        }
        Ok(())
    }

    /// Adds to a number within the bounds asked for and those of its type.
    fn adjust(&self, held: &mut Held, number: &Adjustment) -> Result<(), Condition> {
        let column = &self.entity.columns[number.column];
        let cell = &mut held.0[number.column];
        let (value, least, greatest) = match column.kind {
            Kind::Integer => {
                (cell.as_deref().and_then(read_i32).map(i64::from), i32::MIN.into(), i32::MAX.into())
            }
            _ => (cell.as_deref().and_then(read_i64), i64::MIN, i64::MAX),
        };
        let shown = || image::shown(column, cell.as_deref());
        let Some(value) = value else { return Err(Broken::Field.of(&column.path, None)) };
        let sum = i128::from(value) + i128::from(number.amount);
        if sum < i128::from(number.floor.unwrap_or(least).max(least)) {
            return Err(Broken::Floor.of(&column.path, shown()));
        }
        if sum > i128::from(number.ceiling.unwrap_or(greatest).min(greatest)) {
            return Err(Broken::Ceiling.of(&column.path, shown()));
        }
        *cell = match column.kind {
            Kind::Integer => i32::try_from(sum).ok().and_then(value::integer),
            _ => i64::try_from(sum).ok().and_then(value::bigint),
        };
        Ok(())
    }
}

fn logged(operation: &'static str, version: i64, before: Cell, after: Cell) -> Logged {
    Logged { mutation: 0, operation, version, before, after }
}

/// What differs of these columns, before and after.
fn difference(
    entity: &Entity,
    columns: impl Iterator<Item = usize>,
    before: &Held,
    after: &Held,
) -> (Cell, Cell) {
    let differs = |column: &usize| {
        !image::same(&entity.columns[*column], before.0[*column].as_deref(), after.0[*column].as_deref())
    };
    let columns: Vec<usize> = columns.filter(differs).collect();
    let image = |held: &Held| Some(image::object(entity, columns.iter().copied(), &held.0));
    (image(before), image(after))
}
