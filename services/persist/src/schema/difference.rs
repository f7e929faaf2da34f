//! The migration that leads from the database as it is to the one that the plans want.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{ColumnShape, IndexShape, POLICY, ReferenceShape, Table, plain};

/// What is missing, as SQL to be looked at by a person and put into a new migration; empty where nothing is.
pub(crate) fn migration(expected: &BTreeMap<String, Table>, actual: &BTreeMap<String, Table>) -> String {
    let mut sql = String::new();
    let mut references = String::new();
    for (name, table) in expected {
        let (before, is_new) = match actual.get(name) {
            Some(before) => (before.clone(), false),
            None => (create(&mut sql, name, table), true),
        };
        if !is_new {
            columns(&mut sql, name, table, &before);
        }
        indexes(&mut sql, name, table, &before);
        foreign(&mut references, name, table, &before);
        if table.policy.is_some() && before.policy != table.policy {
            let _ = writeln!(sql, "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;");
            if !is_new {
                let _ = writeln!(sql, "DROP POLICY IF EXISTS workspace ON {name};");
            }
            let _ = writeln!(sql, "CREATE POLICY workspace ON {name} USING ({POLICY});");
        }
        if is_new {
            let _ = writeln!(sql, "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO artel;");
            let _ = writeln!(sql, "GRANT SELECT ON {name} TO artel_system;\n");
        }
    }
    sql + &references
}

/// Writes CREATE TABLE and gives back the table that it makes.
fn create(sql: &mut String, name: &str, table: &Table) -> Table {
    let _ = writeln!(sql, "CREATE TABLE {name} (");
    for column in &table.order {
        let _ = writeln!(sql, "    \"{column}\" {},", definition(name, column, &table.columns[column]));
    }
    let _ = writeln!(sql, "    PRIMARY KEY ({})\n);", list(&table.primary_key));
    Table {
        columns: table.columns.clone(),
        order: table.order.clone(),
        primary_key: table.primary_key.clone(),
        ..Table::default()
    }
}

fn definition(table: &str, name: &str, column: &ColumnShape) -> String {
    let mut definition = column.sql_type.clone();
    if column.not_null {
        definition.push_str(" NOT NULL");
    }
    if let Some(default) = &column.default {
        let _ = write!(definition, " DEFAULT {default}");
    }
    if let Some(generated) = &column.generated {
        let _ = write!(definition, " GENERATED ALWAYS AS (\n        {generated}\n    ) STORED");
    }
    if !column.choices.is_empty() {
        let _ = write!(definition, "\n        CONSTRAINT {table}_{name}_check {}", check(name, column));
    }
    definition
}

fn check(name: &str, column: &ColumnShape) -> String {
    let choices = column.choices.iter().map(|choice| format!("'{choice}'")).collect::<Vec<_>>().join(", ");
    format!("CHECK (\"{name}\" IN ({choices}))")
}

fn columns(sql: &mut String, table: &str, expected: &Table, actual: &Table) {
    for name in &expected.order {
        let column = &expected.columns[name];
        let Some(before) = actual.columns.get(name) else {
            let _ = writeln!(
                sql,
                "ALTER TABLE {table} ADD COLUMN \"{name}\" {};",
                definition(table, name, column)
            );
            continue;
        };
        let alter = format!("ALTER TABLE {table} ALTER COLUMN \"{name}\"");
        if column.generated.as_deref().map(plain) != before.generated.as_deref().map(plain) {
            let _ = writeln!(sql, "ALTER TABLE {table} DROP COLUMN \"{name}\";");
            let _ = writeln!(
                sql,
                "ALTER TABLE {table} ADD COLUMN \"{name}\" {};",
                definition(table, name, column)
            );
            continue;
        }
        if column.sql_type != before.sql_type {
            let _ = writeln!(sql, "{alter} TYPE {} USING \"{name}\"::{0};", column.sql_type);
        }
        if column.default != before.default {
            let _ = match &column.default {
                Some(default) => writeln!(sql, "{alter} SET DEFAULT {default};"),
                None => writeln!(sql, "{alter} DROP DEFAULT;"),
            };
        }
        if column.not_null != before.not_null {
            let _ = writeln!(sql, "{alter} {} NOT NULL;", if column.not_null { "SET" } else { "DROP" });
        }
        if column.choices != before.choices {
            let _ = writeln!(sql, "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_{name}_check;");
            if !column.choices.is_empty() {
                let check = check(name, column);
                let _ = writeln!(sql, "ALTER TABLE {table} ADD CONSTRAINT {table}_{name}_check {check};");
            }
        }
    }
    for name in actual.order.iter().filter(|name| !expected.columns.contains_key(*name)) {
        let _ = writeln!(sql, "ALTER TABLE {table} DROP COLUMN \"{name}\"; -- no field is kept in it");
    }
    if expected.primary_key != actual.primary_key {
        let _ = writeln!(sql, "ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_pkey;");
        let _ = writeln!(sql, "ALTER TABLE {table} ADD PRIMARY KEY ({});", list(&expected.primary_key));
    }
}

fn indexes(sql: &mut String, table: &str, expected: &Table, actual: &Table) {
    for (name, index) in &expected.indexes {
        match actual.indexes.get(name) {
            Some(before) if before == index => continue,
            Some(_) => {
                let _ = writeln!(sql, "DROP INDEX {name};");
            }
            None => {}
        }
        let _ = writeln!(sql, "{};", create_index(table, name, index));
    }
    // Further indexes are an operator's business, as long as they refuse no row.
    for (name, _) in
        actual.indexes.iter().filter(|(name, index)| index.unique && !expected.indexes.contains_key(*name))
    {
        let _ = writeln!(sql, "DROP INDEX {name}; -- no annotation asks for it");
    }
}

fn create_index(table: &str, name: &str, index: &IndexShape) -> String {
    let parts = index.parts.iter().map(|part| match part.strip_suffix(" DESC") {
        Some(column) => format!("\"{column}\" DESC"),
        None => format!("\"{part}\""),
    });
    let parts = parts.collect::<Vec<_>>().join(", ");
    let unique = if index.unique { "UNIQUE " } else { "" };
    let method = if index.method == "btree" { String::new() } else { format!("USING {} ", index.method) };
    let condition = index.condition.as_ref().map(|text| format!(" WHERE {text}")).unwrap_or_default();
    format!("CREATE {unique}INDEX {name} ON {table} {method}({parts}){condition}")
}

fn foreign(sql: &mut String, table: &str, expected: &Table, actual: &Table) {
    for (name, reference) in &expected.references {
        match actual.references.get(name) {
            Some(before) if before == reference => continue,
            Some(_) => {
                let _ = writeln!(sql, "ALTER TABLE {table} DROP CONSTRAINT {name};");
            }
            None => {}
        }
        let ReferenceShape { columns, table: target, targets, .. } = reference;
        let _ = writeln!(
            sql,
            "ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({}) REFERENCES {target} ({})\n    \
             DEFERRABLE INITIALLY DEFERRED;",
            list(columns),
            list(targets)
        );
    }
    for name in actual.references.keys().filter(|name| !expected.references.contains_key(*name)) {
        let _ = writeln!(sql, "ALTER TABLE {table} DROP CONSTRAINT {name}; -- no annotation asks for it");
    }
}

fn list(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::expected;
    use super::*;
    use crate::plan::tests::plans;

    #[test]
    fn a_new_column_is_added_and_an_old_one_dropped() {
        let expected = expected(&plans());
        assert_eq!(migration(&expected, &expected), "");
        let mut actual = expected.clone();
        let orders = actual.get_mut("orders").unwrap();
        orders.columns.remove("number");
        orders.order.retain(|name| name != "number");
        orders.order.push("colour".into());
        orders.columns.insert("colour".into(), ColumnShape::default());
        orders.indexes.remove("orders_number_key");
        orders.policy = None;
        let sql = migration(&expected, &actual);
        for part in [
            "ALTER TABLE orders ADD COLUMN \"number\" text NOT NULL DEFAULT ''::text;",
            "ALTER TABLE orders DROP COLUMN \"colour\"",
            "CREATE UNIQUE INDEX orders_number_key ON orders (\"workspace_id\", \"number\");",
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY;",
        ] {
            assert!(sql.contains(part), "{part} is not in\n{sql}");
        }
    }

    #[test]
    fn a_table_is_made_whole() {
        let expected = expected(&plans());
        let sql = migration(&expected, &BTreeMap::new());
        assert!(sql.contains(
            "CREATE TABLE products (\n    \"workspace_id\" uuid NOT NULL,\n    \"id\" uuid NOT NULL"
        ));
        assert!(sql.contains("setweight(to_tsvector('russian', \"name\"), 'A')"));
        assert!(sql.contains("FOREIGN KEY (\"workspace_id\", \"category_id\") REFERENCES categories"));
        assert!(sql.contains("REFERENCES users (\"id\")"));
    }
}
