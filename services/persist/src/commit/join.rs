//! Commits that came while the rows of a group were read join it, so that one flush serves them too: those that need no
//! other rows at once, and others as long as they double the group, since their rows take a trip of their own.
//!
//! The rows of those who join are locked out of the order of keys. So they are not waited for: whoever wants a row that
//! somebody outside has locked goes back to the line with all behind it, as does who wants one that is not there.

use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use super::batch::{Batch, What};
use super::member::{Claim, Member};
use super::queue::{Mark, Queue};
use super::rows::{Row, Table, Tables};

/// Mutations at most of a commit that joins.
const MOST_CHANGES: usize = 16;

/// The way into a group under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Joins<'a> {
    pub(super) queue: &'a Queue,
    pub(super) mark: Mark,
}

impl Joins<'_> {
    /// Those who double the group; nobody where they would not. Their rows are to be read.
    pub(super) fn double(self, group: &[Member], late: &[Member], tables: &Tables) -> Vec<Member> {
        if self.queue.waiting(self.mark) < group.len() + late.len() {
            return Vec::new();
        }
        self.come(group, late, |batch| tables.can_take(batch, Rows::Any))
    }

    /// Those who need no rows that were not read.
    pub(super) fn fill(self, group: &[Member], late: &[Member], tables: &Tables) -> Vec<Member> {
        self.come(group, late, |batch| tables.can_take(batch, Rows::Read))
    }

    fn come(self, group: &[Member], late: &[Member], fits: impl Fn(&Batch) -> bool) -> Vec<Member> {
        // None has less time than what is running already was given.
        let until = group.iter().filter_map(|member| member.caller.deadline).min();
        let bytes = group.iter().chain(late).map(|member| member.size).sum();
        self.queue.join(self.mark, (group.len() + late.len(), bytes), |member| {
            member.caller.deadline >= until && fits(&member.batch)
        })
    }
}

/// Which rows a commit that joins may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// New ones and those that the group has read.
    Read,
    Any,
}

impl Tables {
    fn can_take(&self, batch: &Batch, rows: Rows) -> bool {
        let changes = &batch.changes;
        changes.len() <= MOST_CHANGES
            && changes.iter().all(|change| {
                let table = self.0.get(&change.entity.name);
                match (table, table.and_then(|table| table.rows.get(&change.id))) {
                    (Some(table), Some(row)) => row.is_read && table.covers(change),
                    _ if matches!(change.what, What::Insert(_)) => {
                        changes.iter().filter(|other| other.id == change.id).count() == 1
                    }
                    (Some(table), None) if table.is_read() => rows == Rows::Any && table.covers(change),
                    _ => rows == Rows::Any,
                }
            })
    }

    /// The tables of those who join: of the rows that are read already nothing is to be read, of others the same as of
    /// those.
    pub(super) fn of_late(&self, late: &[Member]) -> Self {
        let mut more = Self::of(late.iter().map(|member| &member.batch), false);
        for (name, table) in &mut more.0 {
            let Some(own) = self.0.get(name) else { continue };
            if own.is_read() {
                table.columns.clone_from(&own.columns);
                table.deletes = own.deletes;
            }
            table.rows.retain(|id, _| !own.rows.contains_key(id));
        }
        more
    }

    /// Takes the tables of those who join in, but for rows that could not be read, which are given back.
    pub(super) fn merge(&mut self, more: Self) -> HashSet<Claim> {
        let mut missing = HashSet::new();
        for (name, table) in more.0 {
            let entity = Arc::clone(&table.entity);
            let own = self.0.entry(name).or_insert_with(|| Table::new(&entity));
            if !own.is_read() {
                own.columns = table.columns;
                own.deletes = table.deletes;
            }
            let (here, not_here): (Vec<(Uuid, Row)>, Vec<_>) =
                table.rows.into_iter().partition(|(_, row)| !row.is_read || row.before.is_some());
            own.rows.extend(here);
            missing.extend(not_here.into_iter().map(|(id, _)| Claim::row(&entity, id)));
        }
        missing
    }
}
