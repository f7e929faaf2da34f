//! The text of the statement that applies many mutations of one shape: one statement however many rows, its text fixed
//! by the shape, so that it is prepared once.
//!
//! Parameters: `$1` workspace, `$2` user, `$3` service, `$4` trace, then arrays, an item a mutation: `$5` ordinals,
//! `$6` keys, and (except for inserts) `$7` expected versions, then what the shape needs.
//!
//! Rows are locked in the order of their keys, whatever the caller's order, so that two batches wait for each other in
//! one direction only. A condition that does not hold ends the transaction by `artel_fail`, which says what the value was.

use std::fmt::Write as _;

use crate::plan::{Entity, WORKSPACE};
use crate::value::Kind;

/// What mutations of one statement have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shape {
    pub(crate) verb: Verb,
    /// The columns written or adjusted.
    pub(crate) columns: Vec<usize>,
    /// The columns of which something is expected.
    pub(crate) expected: Vec<usize>,
}

/// What mutations do, in the order in which a batch does it: what frees a unique value comes before what takes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verb {
    Delete,
    Update,
    Adjust,
    Insert,
    Upsert,
    Check,
}

impl Verb {
    /// As the change log calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Adjust => "adjust",
            Self::Insert => "insert",
            Self::Upsert => "upsert",
            Self::Check => "check",
        }
    }
}

/// The statement's text.
pub(crate) fn text(entity: &Entity, shape: &Shape) -> String {
    let writer = Writer { entity, shape };
    match shape.verb {
        Verb::Insert => writer.insert(),
        Verb::Upsert => writer.upsert(),
        Verb::Check => {
            format!("WITH {}, {}\n{}", writer.input(), writer.locked(), writer.outcome("l.version"))
        }
        Verb::Update | Verb::Adjust | Verb::Delete => writer.change(),
    }
}

/// Locks rows in the order of their keys: `$1` workspace, `$2` keys. For batches that touch rows of one entity by
/// several statements.
pub(crate) fn lock(entity: &Entity) -> String {
    let table = &entity.table;
    let key = entity.columns[entity.key].of("t");
    let workspace = if entity.scoped { format!("t.{WORKSPACE} = $1 AND ") } else { String::new() };
    format!(
        "SELECT t.* FROM (SELECT id FROM unnest($2) AS i (id) ORDER BY id) i CROSS JOIN LATERAL (
            SELECT 1 FROM {table} t WHERE {workspace}{key} = i.id FOR NO KEY UPDATE) t"
    )
}

struct Writer<'a> {
    entity: &'a Entity,
    shape: &'a Shape,
}

impl Writer<'_> {
    /// The arrays as rows.
    fn input(&self) -> String {
        let mut names = vec!["ordinal".to_owned(), "id".to_owned()];
        if self.shape.verb != Verb::Insert {
            names.push("expected_version".to_owned());
        }
        for column in &self.shape.columns {
            names.push(format!("v{column}"));
            if self.shape.verb == Verb::Adjust {
                names.extend([format!("floor{column}"), format!("ceiling{column}")]);
            }
        }
        names.extend(self.shape.expected.iter().map(|column| format!("e{column}")));
        let parameters =
            (5..5 + names.len()).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
        format!("input AS MATERIALIZED (SELECT * FROM unnest({parameters}) AS i ({}))", names.join(", "))
    }

    /// The rows as they are, locked in the order of their keys. An upsert sees deleted ones too.
    fn locked(&self) -> String {
        let entity = self.entity;
        let key = entity.columns[entity.key].of("t");
        let mut columns =
            vec![format!("{key} AS id"), format!("{} AS version", entity.columns[entity.version].of("t"))];
        let mut needed: Vec<usize> = self.shape.expected.clone();
        match self.shape.verb {
            Verb::Update | Verb::Adjust => needed.extend(&self.shape.columns),
            Verb::Delete | Verb::Upsert => needed.extend(self.logged_columns()),
            Verb::Insert | Verb::Check => {}
        }
        needed.sort_unstable();
        needed.dedup();
        columns
            .extend(needed.iter().map(|column| format!("{} AS b{column}", entity.columns[*column].of("t"))));
        let mut conditions = entity.visible("t");
        if self.shape.verb == Verb::Upsert && entity.delete_time.is_some() {
            conditions.pop();
        }
        conditions.push(format!("{key} = i.id"));
        let strength = if self.deletes_for_good() { "UPDATE" } else { "NO KEY UPDATE" };
        // In this form the only plan is a look into the primary key for each row, whatever PostgreSQL believes of the
        // table: a plan made while it was empty stays good.
        format!(
            "locked AS MATERIALIZED (SELECT t.* FROM (SELECT id FROM input ORDER BY id) i CROSS JOIN LATERAL (\n    \
             SELECT {} FROM {} t WHERE {} FOR {strength}) t)",
            columns.join(", "),
            entity.table,
            conditions.join(" AND ")
        )
    }

    fn deletes_for_good(&self) -> bool {
        self.shape.verb == Verb::Delete && self.entity.delete_time.is_none()
    }

    /// One row a mutation: its ordinal and its version now, or the end of the transaction.
    fn outcome(&self, version: &str) -> String {
        let entity = self.entity;
        let mut cases = String::new();
        let mut case = |condition: &str, name: &str, field: &str, actual: &str| {
            let _ =
                write!(cases, " WHEN {condition} THEN artel_fail(i.ordinal, '{name}', '{field}', {actual})");
        };
        let missing = if self.shape.verb == Verb::Upsert {
            let expects = if self.shape.expected.is_empty() { "i.expected_version <> 0" } else { "true" };
            format!("l.id IS NULL AND {expects}")
        } else {
            "l.id IS NULL".to_owned()
        };
        case(&missing, "row", "", "NULL");
        case(
            "i.expected_version <> 0 AND l.version <> i.expected_version",
            "version",
            &entity.columns[entity.version].path,
            "l.version::text",
        );
        for index in &self.shape.expected {
            let column = &entity.columns[*index];
            let actual = if column.secret { "NULL".to_owned() } else { format!("l.b{index}::text") };
            case(&format!("l.b{index} IS DISTINCT FROM i.e{index}"), "field", &column.path, &actual);
        }
        if self.shape.verb == Verb::Adjust {
            for index in &self.shape.columns {
                let path = &entity.columns[*index].path;
                let actual = format!("l.b{index}::text");
                let bounds = self.bounds(*index);
                case(&format!("l.b{index} IS NULL"), "field", path, "NULL");
                case(&format!("NOT ({})", bounds.0), "floor", path, &actual);
                case(&format!("NOT ({})", bounds.1), "ceiling", path, &actual);
            }
        }
        let changed = if self.shape.verb == Verb::Check { "" } else { " LEFT JOIN changed c ON c.id = i.id" };
        format!(
            "SELECT i.ordinal, CASE{cases} ELSE {version} END\n\
             FROM input i LEFT JOIN locked l ON l.id = i.id{changed}"
        )
    }

    /// That the sum is not below the floor, and not above the ceiling. Sums are taken wider than the column, so that
    /// they do not overflow, and are bounded by the column's type in any case.
    fn bounds(&self, column: usize) -> (String, String) {
        let (least, greatest, cast) = match self.entity.columns[column].kind {
            Kind::Integer => (i64::from(i32::MIN), i64::from(i32::MAX), "bigint"),
            _ => (i64::MIN, i64::MAX, "numeric"),
        };
        let sum = format!("l.b{column}::{cast} + i.v{column}");
        (
            format!("{sum} >= {least} AND {sum} >= coalesce(i.floor{column}, {least})"),
            format!("{sum} <= {greatest} AND {sum} <= coalesce(i.ceiling{column}, {greatest})"),
        )
    }

    /// Update, adjust and delete.
    fn change(&self) -> String {
        let entity = self.entity;
        let table = &entity.table;
        let (key, version) = (&entity.columns[entity.key], &entity.columns[entity.version]);
        let mut conditions = vec!["i.id = l.id".to_owned(), format!("{} = l.id", key.of("t"))];
        if entity.scoped {
            conditions.push(format!("t.{WORKSPACE} = $1"));
        }
        let mut set: Vec<String> = Vec::new();
        let (before, after) = match self.shape.verb {
            Verb::Update => {
                for index in &self.shape.columns {
                    let column = &entity.columns[*index];
                    set.push(format!("{} = {}", column.quoted(), column.unpacked(&format!("i.v{index}"))));
                }
                let before = self.object(&self.shape.columns, |index| format!("l.b{index}"));
                let after = self.object(&self.shape.columns, |index| entity.columns[index].of("t"));
                (
                    format!("artel_difference({before}, {after})"),
                    format!("artel_difference({after}, {before})"),
                )
            }
            Verb::Adjust => {
                for index in &self.shape.columns {
                    let column = &entity.columns[*index];
                    let sum = format!("({} + i.v{index})::{}", column.of("t"), column.sql_type());
                    set.push(format!("{} = {sum}", column.quoted()));
                    let bounds = self.bounds(*index);
                    conditions.extend([bounds.0, bounds.1]);
                }
                let before = self.object(&self.shape.columns, |index| format!("l.b{index}"));
                (before, self.object(&self.shape.columns, |index| entity.columns[index].of("t")))
            }
            _ => {
                (self.object(&self.logged_columns(), |index| format!("l.b{index}")), "NULL::jsonb".to_owned())
            }
        };
        if let Some(column) = entity.delete_time.filter(|_| self.shape.verb == Verb::Delete) {
            set.push(format!("{} = now()", entity.columns[column].quoted()));
        }
        set.push(format!("{} = l.version + 1", version.quoted()));
        if let Some(column) = entity.update_time {
            set.push(format!("{} = now()", entity.columns[column].quoted()));
        }
        let conditions = conditions.join(" AND ");
        let returning = |version: &str| {
            format!(
                "RETURNING i.ordinal, {} AS id, {version} AS version, {before} AS before, {after} AS after",
                key.of("t")
            )
        };
        let changed = if self.deletes_for_good() {
            format!(
                "DELETE FROM {table} t USING locked l, input i WHERE {conditions}\n    {}",
                returning("l.version + 1")
            )
        } else {
            format!(
                "UPDATE {table} t SET {}\n    FROM locked l, input i WHERE {conditions}\n    {}",
                set.join(", "),
                returning(&version.of("t"))
            )
        };
        let version = if self.shape.verb == Verb::Delete { "0::bigint" } else { "c.version" };
        format!(
            "WITH {},\n{},\nchanged AS ({changed}),\n{}\n{}",
            self.input(),
            self.locked(),
            self.logged("c.id, c.version, c.ordinal", "c.before, c.after", "changed c"),
            self.outcome(version)
        )
    }

    fn insert(&self) -> String {
        let (columns, values) = self.row();
        let after = self.object(&self.logged_columns(), |index| self.entity.columns[index].of("t"));
        format!(
            "WITH {},\nchanged AS (INSERT INTO {} AS t ({columns}) SELECT {values} FROM input i ORDER BY i.id\n    \
             RETURNING {} AS id, {} AS version, {after} AS after),\n{}\n\
             SELECT i.ordinal, c.version FROM input i JOIN changed c ON c.id = i.id",
            self.input(),
            self.entity.table,
            self.entity.columns[self.entity.key].of("t"),
            self.entity.columns[self.entity.version].of("t"),
            self.logged(
                "c.id, c.version, i.ordinal",
                "NULL, c.after",
                "changed c JOIN input i ON i.id = c.id"
            ),
        )
    }

    fn upsert(&self) -> String {
        let entity = self.entity;
        let (columns, values) = self.row();
        let version = &entity.columns[entity.version];
        let mut set = vec![format!("{} = {} + 1", version.quoted(), version.of("t"))];
        for index in &self.shape.columns {
            let name = entity.columns[*index].quoted();
            set.push(format!("{name} = excluded.{name}"));
        }
        set.extend(entity.update_time.map(|column| format!("{} = now()", entity.columns[column].quoted())));
        set.extend(entity.delete_time.map(|column| format!("{} = NULL", entity.columns[column].quoted())));
        let key = entity.columns[entity.key].quoted();
        let conflict = if entity.scoped { format!("{WORKSPACE}, {key}") } else { key };
        let after = self.object(&self.logged_columns(), |index| entity.columns[index].of("t"));
        let before = self.object(&self.logged_columns(), |index| format!("l.b{index}"));
        // The join with the locked rows is what makes the locking come first.
        format!(
            "WITH {},\n{},\nchanged AS (INSERT INTO {} AS t ({columns}) SELECT {values}\n    \
             FROM input i LEFT JOIN locked l ON l.id = i.id ORDER BY i.id\n    \
             ON CONFLICT ({conflict}) DO UPDATE SET {}\n    \
             RETURNING {} AS id, {} AS version, {after} AS after),\n{}\n{}",
            self.input(),
            self.locked(),
            entity.table,
            set.join(", "),
            entity.columns[entity.key].of("t"),
            version.of("t"),
            self.logged(
                "c.id, c.version, i.ordinal",
                &format!(
                    "CASE WHEN l.id IS NOT NULL THEN artel_difference({before}, c.after) END, \
                     CASE WHEN l.id IS NULL THEN c.after ELSE artel_difference(c.after, {before}) END"
                ),
                "changed c JOIN input i ON i.id = c.id LEFT JOIN locked l ON l.id = c.id"
            ),
            self.outcome("c.version")
        )
    }

    /// The columns of a new row and their values.
    fn row(&self) -> (String, String) {
        let entity = self.entity;
        let (mut columns, mut values) = (Vec::new(), Vec::new());
        let mut add = |name: String, value: String| {
            columns.push(name);
            values.push(value);
        };
        if entity.scoped {
            add(WORKSPACE.to_owned(), "$1".to_owned());
        }
        add(entity.columns[entity.key].quoted(), "i.id".to_owned());
        add(entity.columns[entity.version].quoted(), "1".to_owned());
        for column in [entity.create_time, entity.update_time].into_iter().flatten() {
            add(entity.columns[column].quoted(), "now()".to_owned());
        }
        for index in &self.shape.columns {
            let column = &entity.columns[*index];
            add(column.quoted(), column.unpacked(&format!("i.v{index}")));
        }
        (columns.join(", "), values.join(", "))
    }

    /// The columns that the change log shows of a whole row.
    fn logged_columns(&self) -> Vec<usize> {
        written(self.entity)
    }

    /// Columns as a JSON object, without those that are secret. A call takes at most 100 arguments.
    fn object(&self, columns: &[usize], value: impl Fn(usize) -> String) -> String {
        let shown = columns.iter().filter(|column| !self.entity.columns[**column].secret);
        let pairs: Vec<String> = shown
            .map(|column| format!("'{}', {}", self.entity.columns[*column].name, value(*column)))
            .collect();
        let objects: Vec<String> =
            pairs.chunks(50).map(|chunk| format!("jsonb_build_object({})", chunk.join(", "))).collect();
        if objects.is_empty() { "'{}'::jsonb".to_owned() } else { objects.join(" || ") }
    }

    /// The rows of the change log: the entity's id, version and the mutation's ordinal; before and after; from where.
    fn logged(&self, row: &str, images: &str, from: &str) -> String {
        format!(
            "logged AS (INSERT INTO change_log (workspace_id, entity, operation, actor_user, actor_service, trace, \
             entity_id, version, ordinal, before, after)\n    \
             SELECT $1, '{}', '{}', $2, $3, $4, {row}, {images} FROM {from})",
            self.entity.name,
            self.shape.verb.name()
        )
    }
}

/// The columns that a caller writes: all but the key and the stamps.
pub(crate) fn written(entity: &Entity) -> Vec<usize> {
    use crate::plan::Stamp;
    (0..entity.columns.len())
        .filter(|index| *index != entity.key && entity.columns[*index].stamp == Stamp::None)
        .collect()
}
