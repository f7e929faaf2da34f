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
        let mut descends = false;
        for (column, descending) in &self.columns {
            descends = *descending;
            parts.push(part(&entity.columns[*column].name, *descending));
        }
        if !self.unique && !self.columns.iter().any(|(column, _)| *column == entity.key) {
            parts.push(part(&entity.columns[entity.key].name, descends));
        }
        parts
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
