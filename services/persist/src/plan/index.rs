use super::{Entity, WORKSPACE};

/// PostgreSQL cuts longer names.
const MOST_LETTERS: usize = 63;

/// An index of an entity's table, the workspace and the closing key left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// Columns and whether the greatest comes first.
    pub(crate) columns: Vec<(usize, bool)>,
    pub(crate) unique: bool,
}

/// A column that holds the key of another entity.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    pub(crate) column: usize,
    /// The other entity.
    pub(crate) entity: String,
}

impl Index {
    pub(crate) fn name(&self, entity: &Entity) -> String {
        let columns = self.columns.iter().map(|(column, _)| entity.columns[*column].name.as_str());
        let name = format!(
            "{}_{}_{}",
            entity.table,
            columns.collect::<Vec<_>>().join("_"),
            if self.unique { "key" } else { "idx" }
        );
        name.chars().take(MOST_LETTERS).collect()
    }

    /// Everything it stands over, in order: the workspace first, and at the end the key, which breaks ties when rows
    /// are paged through in this order.
    pub(crate) fn parts(&self, entity: &Entity) -> Vec<String> {
        let mut parts = Vec::new();
        if entity.scoped {
            parts.push(WORKSPACE.to_owned());
        }
        let order = self.order(entity);
        parts.extend(order.map(|(column, descending)| part(&entity.columns[column].name, descending)));
        parts
    }

    /// The columns within a workspace, the closing key with them.
    fn order(&self, entity: &Entity) -> impl Iterator<Item = (usize, bool)> {
        let descends = self.columns.last().is_some_and(|(_, descending)| *descending);
        let closes = !self.unique && !self.columns.iter().any(|(column, _)| *column == entity.key);
        self.columns.iter().copied().chain(closes.then_some((entity.key, descends)))
    }

    /// Whether the rows with these columns given stand together in it, and in this order (or the opposite one): then a
    /// page of them is read without reading others.
    pub(super) fn leads(&self, entity: &Entity, given: &[usize], order: &[(usize, bool)]) -> bool {
        if self.is_inverted(entity) {
            return false;
        }
        let mut own = self.order(entity).peekable();
        let mut found = 0;
        while own.next_if(|(column, _)| given.contains(column)).is_some() {
            found += 1;
        }
        if found < given.len() {
            return false;
        }
        if self.unique && own.peek().is_none() {
            return true;
        }
        let mut turned = None;
        order.iter().filter(|(column, _)| !given.contains(column)).all(|(column, descending)| {
            // Behind a value that is unique there is nothing left to order.
            own.next().map_or(self.unique, |(other, other_descending)| {
                let turn = *descending != other_descending;
                *column == other && *turned.get_or_insert(turn) == turn
            })
        })
    }

    /// Rows that it leaves out: deleted ones hold no unique value any more.
    pub(crate) fn condition(&self, entity: &Entity) -> Option<String> {
        let column = entity.delete_time.filter(|_| self.unique)?;
        Some(format!("{} IS NULL", entity.columns[column].name))
    }

    /// Whether a single list column is what it stands over.
    pub(crate) fn is_inverted(&self, entity: &Entity) -> bool {
        self.columns.iter().any(|(column, _)| entity.columns[*column].is_list)
    }
}

impl Reference {
    pub(crate) fn name(&self, entity: &Entity) -> String {
        format!("{}_{}_fkey", entity.table, entity.columns[self.column].name)
            .chars()
            .take(MOST_LETTERS)
            .collect()
    }
}

fn part(name: &str, descending: bool) -> String {
    if descending { format!("{name} DESC") } else { name.to_owned() }
}
