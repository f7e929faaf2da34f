//! The database as the plans want it, as it is, and the migration between the two.

mod actual;
mod difference;
mod expected;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use actual::read;
pub(crate) use difference::migration;
pub(crate) use expected::expected;

/// What rows a workspace sees, in words of SQL.
pub(crate) const POLICY: &str = "workspace_id = nullif(current_setting('artel.workspace', true), '')::uuid";

/// A table, as far as plans speak of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: BTreeMap<String, ColumnShape>,
    /// The columns in the order in which they are made.
    pub(crate) order: Vec<String>,
    pub(crate) primary_key: Vec<String>,
    pub(crate) indexes: BTreeMap<String, IndexShape>,
    pub(crate) references: BTreeMap<String, ReferenceShape>,
    /// The policy that hides rows of other workspaces, without spaces and casts; `None` where row-level security is off.
    pub(crate) policy: Option<String>,
}

/// A column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ColumnShape {
    pub(crate) sql_type: String,
    pub(crate) not_null: bool,
    pub(crate) default: Option<String>,
    /// What PostgreSQL computes it from.
    pub(crate) generated: Option<String>,
    /// What its value is one of.
    pub(crate) choices: BTreeSet<String>,
}

/// An index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexShape {
    pub(crate) method: String,
    pub(crate) parts: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) condition: Option<String>,
}

/// A foreign key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReferenceShape {
    pub(crate) columns: Vec<String>,
    pub(crate) table: String,
    pub(crate) targets: Vec<String>,
    /// Checked at the end of the transaction, so that the order inside a commit does not matter.
    pub(crate) deferred: bool,
}

/// An expression without what PostgreSQL adds when it prints it: casts to text, parentheses, spaces, capitals.
pub(crate) fn plain(expression: &str) -> String {
    let mut plain = expression.to_lowercase();
    for noise in ["::text", "::regconfig", "::\"char\"", " ", "(", ")", "\n", "\""] {
        plain = plain.replace(noise, "");
    }
    plain
}
