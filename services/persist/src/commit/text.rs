//! The texts of the statements that lock, read and write the rows of an entity: one statement however many rows, its
//! text fixed by entity and columns, so that it is prepared once.
//!
//! `$1` is the workspace; what follows are arrays, an item a row, in the order of the rows' keys.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use crate::measure::Name;
use crate::plan::{Entity, WORKSPACE};
use crate::sql::Statement;

/// Sets of columns of one entity that have texts of their own. With more, all columns are read and written, so that no
/// caller can fill the connections' memory with ever new sets.
const MOST_SETS: usize = 64;

/// The texts made so far.
#[derive(Debug, Default)]
pub(super) struct Texts(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    texts: HashMap<(String, Form), (Arc<str>, Name)>,
    sets: HashMap<String, HashSet<BTreeSet<usize>>>,
}

/// What a statement does, and with which columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Locks and reads; true where rows may be deleted for good.
    Read(Vec<usize>, bool),
    /// The same of rows that nobody else has locked.
    ReadFree(Vec<usize>, bool),
    Insert(Vec<usize>),
    Update(Vec<usize>),
    Delete,
    /// Finds the rows that somebody else has locked.
    Locked,
}

impl Texts {
    /// The statement, its parameters still to be bound.
    pub(super) fn get(&self, entity: &Entity, form: Form) -> Statement {
        let key = (entity.name.clone(), form);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).texts.get(&key).cloned();
        let (text, name) = known.unwrap_or_else(|| {
            let made = (text(entity, &key.1).into(), Name::new(&entity.table, key.1.verb()));
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            known.texts.entry(key).or_insert(made).clone()
        });
        Statement::fixed(text).named(name)
    }

    /// These columns, or others that hold them too: all of `most`, where there are too many different sets.
    pub(super) fn set(
        &self,
        entity: &Entity,
        columns: &BTreeSet<usize>,
        most: &BTreeSet<usize>,
    ) -> BTreeSet<usize> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let sets = known.sets.get(&entity.name);
        if sets.is_some_and(|sets| sets.contains(columns)) {
            return columns.clone();
        }
        if sets.map_or(0, HashSet::len) >= MOST_SETS {
            return most.clone();
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.sets.entry(entity.name.clone()).or_default().insert(columns.clone());
        columns.clone()
    }
}

impl Form {
    /// What it is called in the metrics.
    fn verb(&self) -> &'static str {
        match self {
            Self::Read(..) => "lock",
            Self::ReadFree(..) => "lock_free",
            Self::Insert(_) => "insert",
            Self::Update(_) => "update",
            Self::Delete => "delete",
            Self::Locked => "find_locked",
        }
    }
}

fn text(entity: &Entity, form: &Form) -> String {
    match form {
        Form::Read(columns, deletes) => read(entity, columns, *deletes, ""),
        Form::ReadFree(columns, deletes) => read(entity, columns, *deletes, " SKIP LOCKED"),
        Form::Insert(columns) => insert(entity, columns),
        Form::Update(columns) => update(entity, columns),
        Form::Delete => delete(entity),
        Form::Locked => locked(entity),
    }
}

/// `$2` keys. In this form the only plan is a look into the primary key for each row, in the order of the keys.
fn read(entity: &Entity, columns: &[usize], deletes: bool, wait: &str) -> String {
    let shown = columns.iter().map(|index| {
        let column = &entity.columns[*index];
        if column.is_list { format!("{}::text", column.of("t")) } else { column.of("t") }
    });
    let shown = [entity.columns[entity.key].of("t")].into_iter().chain(shown).collect::<Vec<_>>().join(", ");
    let strength = if deletes { "UPDATE" } else { "NO KEY UPDATE" };
    format!(
        "SELECT t.* FROM unnest($2) AS i (id) CROSS JOIN LATERAL (\n    \
         SELECT {shown} FROM {} t WHERE {} FOR {strength}{wait}) t",
        entity.table,
        at(entity)
    )
}

/// `$2` keys. Those of rows that are there and cannot be locked at once.
fn locked(entity: &Entity) -> String {
    let (table, key, at) = (&entity.table, entity.columns[entity.key].of("t"), at(entity));
    format!(
        "WITH free AS MATERIALIZED (SELECT t.* FROM unnest($2) AS i (id) CROSS JOIN LATERAL (\n    \
         SELECT {key} AS id FROM {table} t WHERE {at} FOR NO KEY UPDATE SKIP LOCKED) t)\n\
         SELECT i.id FROM unnest($2) AS i (id) CROSS JOIN LATERAL (\n    \
         SELECT FROM {table} t WHERE {at} LIMIT 1) t WHERE i.id NOT IN (SELECT id FROM free)"
    )
}

/// `$2` keys, `$3` versions, then the columns.
fn insert(entity: &Entity, columns: &[usize]) -> String {
    let (mut names, mut values) = (Vec::new(), Vec::new());
    let mut add = |name: String, value: String| {
        names.push(name);
        values.push(value);
    };
    if entity.scoped {
        add(WORKSPACE.to_owned(), "$1".to_owned());
    }
    add(entity.columns[entity.key].quoted(), "i.id".to_owned());
    add(entity.columns[entity.version].quoted(), "i.version".to_owned());
    for column in [entity.create_time, entity.update_time].into_iter().flatten() {
        add(entity.columns[column].quoted(), "now()".to_owned());
    }
    for index in columns {
        let column = &entity.columns[*index];
        add(column.quoted(), column.unpacked(&format!("i.v{index}")));
    }
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {}",
        entity.table,
        names.join(", "),
        values.join(", "),
        input(columns)
    )
}

/// `$2` keys, `$3` versions, then the columns. The rows are locked, so all of them are there; if they were not, nothing
/// would be committed.
fn update(entity: &Entity, columns: &[usize]) -> String {
    let mut set = vec![format!("{} = i.version", entity.columns[entity.version].quoted())];
    for index in columns {
        let column = &entity.columns[*index];
        set.push(format!("{} = {}", column.quoted(), column.unpacked(&format!("i.v{index}"))));
    }
    set.extend(entity.update_time.map(|column| format!("{} = now()", entity.columns[column].quoted())));
    whole(&format!(
        "UPDATE {} t SET {} FROM {} WHERE {}",
        entity.table,
        set.join(", "),
        input(columns),
        at(entity)
    ))
}

/// `$2` keys.
fn delete(entity: &Entity) -> String {
    whole(&format!("DELETE FROM {} t USING unnest($2) AS i (id) WHERE {}", entity.table, at(entity)))
}

/// Ends the transaction where not every row was met.
fn whole(change: &str) -> String {
    format!(
        "WITH changed AS ({change} RETURNING 1)\n\
         SELECT CASE WHEN count(*) <> cardinality($2) THEN artel_fail(-1, 'rows', '', count(*)::text) END FROM changed"
    )
}

fn input(columns: &[usize]) -> String {
    let parameters = (2..columns.len() + 4).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
    let names = columns.iter().map(|index| format!(", v{index}")).collect::<String>();
    format!("unnest({parameters}) AS i (id, version{names})")
}

fn at(entity: &Entity) -> String {
    let workspace = if entity.scoped { format!("t.{WORKSPACE} = $1 AND ") } else { String::new() };
    format!("{workspace}{} = i.id", entity.columns[entity.key].of("t"))
}
