//! The rows that a group touches, held in memory between the statement that locks and reads them and those that write
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use super::batch::{Batch, Change, What};
use crate::plan::{Entity, Stamp};
use crate::sql::{DriverRow, with_column};
use crate::value::{self, Cell, read_i64};

/// The rows of a group by entity, in the order in which they are locked: by the entity's name, then by key. Everybody
/// locks in this order, so nobody waits in a circle.
#[derive(Debug, Default)]
pub(super) struct Tables(pub(super) BTreeMap<String, Table>);

/// The rows of one entity.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) entity: Arc<Entity>,
    pub(super) rows: BTreeMap<Uuid, Row>,
    /// The columns that are read: those that something depends on or that are written.
    pub(super) columns: BTreeSet<usize>,
    /// The columns that were written in rows that exist.
    pub(super) written: BTreeSet<usize>,
    /// Rows may be deleted for good: nobody may come to refer to them meanwhile.
    pub(super) deletes: bool,
}

/// A row before the group and after what was applied so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Row {
    /// It has to be read.
    pub(super) is_read: bool,
    pub(super) before: Option<Held>,
    pub(super) now: Option<Held>,
    /// Deleted for good and inserted again.
    pub(super) is_replaced: bool,
}

/// A cell a column, as it goes into a statement; those that were not read are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held(pub(super) Vec<Cell>);

impl Tables {
    /// The rows that these batches touch. A row that is only inserted, once, is taken to be new unless `reads_all`: its
    /// primary key proves it.
    pub(super) fn of<'a>(batches: impl Iterator<Item = &'a Batch>, reads_all: bool) -> Self {
        let mut tables: BTreeMap<String, Table> = BTreeMap::new();
        for change in batches.flat_map(|batch| &batch.changes) {
            let entity = &change.entity;
            if !tables.contains_key(&entity.name) {
                tables.insert(entity.name.clone(), Table::new(entity));
            }
            if let Some(table) = tables.get_mut(&entity.name) {
                table.expect(change, reads_all);
            }
        }
        Self(tables)
    }
}

/// The columns of its row that a change depends on or writes.
fn needed(change: &Change) -> impl Iterator<Item = usize> + '_ {
    let own: Box<dyn Iterator<Item = usize> + '_> = match &change.what {
        What::Insert(_) | What::Check => Box::new(std::iter::empty()),
        What::Update(cells) => Box::new(cells.iter().map(|(column, _)| *column)),
        What::Adjust(numbers) => Box::new(numbers.iter().map(|number| number.column)),
        What::Upsert(_) | What::Delete => Box::new(written(&change.entity)),
    };
    own.chain(change.expected.iter().map(|(column, _)| *column))
}

/// Whether its row may be gone for good.
fn deletes(change: &Change) -> bool {
    matches!(change.what, What::Delete) && change.entity.delete_time.is_none()
}

impl Table {
    pub(super) fn new(entity: &Arc<Entity>) -> Self {
        let columns = [Some(entity.version), entity.delete_time].into_iter().flatten().collect();
        Self {
            entity: Arc::clone(entity),
            rows: BTreeMap::new(),
            columns,
            written: BTreeSet::new(),
            deletes: false,
        }
    }

    fn expect(&mut self, change: &Change, is_read: bool) {
        let is_new = matches!(change.what, What::Insert(_)) && !self.rows.contains_key(&change.id);
        self.rows.entry(change.id).or_default().is_read |= is_read || !is_new;
        self.columns.extend(needed(change));
        self.deletes |= deletes(change);
    }

    /// Whether some of its rows are read.
    pub(super) fn is_read(&self) -> bool {
        self.rows.values().any(|row| row.is_read)
    }

    /// Whether what is read of its rows is all that a change needs.
    pub(super) fn covers(&self, change: &Change) -> bool {
        needed(change).all(|column| self.columns.contains(&column)) && (self.deletes || !deletes(change))
    }

    /// The keys of the rows to be read.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Uuid> {
        self.rows.iter().filter(|(_, row)| row.is_read).map(|(id, _)| id)
    }

    /// Takes in a row as it was read: its key, then the columns in their order.
    pub(super) fn take_in(&mut self, read: &DriverRow) {
        let cell = |index: usize| with_column(read, index, |cell| cell.map(<[u8]>::to_vec));
        let Some(id) = cell(0).and_then(|id| Uuid::from_slice(&id).ok()) else { return };
        let Some(row) = self.rows.get_mut(&id) else { return };
        let mut held = Held(vec![None; self.entity.columns.len()]);
        held.0[self.entity.key] = cell(0);
        for (index, column) in self.columns.iter().enumerate() {
            held.0[*column] = cell(index + 1);
        }
        row.before = Some(held.clone());
        row.now = Some(held);
    }
}

impl Held {
    pub(super) fn version(&self, entity: &Entity) -> i64 {
        self.0[entity.version].as_deref().and_then(read_i64).unwrap_or_default()
    }

    pub(super) fn is_deleted(&self, entity: &Entity) -> bool {
        entity.delete_time.is_some_and(|column| self.0[column].is_some())
    }

    /// Stamps a change at this moment; the version it has then.
    pub(super) fn stamp(&mut self, entity: &Entity, now: &Cell) -> i64 {
        let version = self.version(entity) + 1;
        self.0[entity.version] = value::bigint(version);
        if let Some(column) = entity.update_time {
            self.0[column].clone_from(now);
        }
        version
    }
}

/// The columns that a caller writes: all but the key and the stamps.
pub(super) fn written(entity: &Entity) -> impl Iterator<Item = usize> + '_ {
    (0..entity.columns.len())
        .filter(|index| *index != entity.key && entity.columns[*index].stamp == Stamp::None)
}
