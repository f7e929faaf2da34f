//! The tables that the database has.

use std::collections::{BTreeMap, BTreeSet};

use super::{ColumnShape, IndexShape, ReferenceShape, Table, plain};
use crate::database::Database;
use crate::failure::Failure;
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::array_items;

const COLUMNS: &str = "
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
       CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
ORDER BY c.relname, a.attnum";

const CONSTRAINTS: &str = "
SELECT c.relname::text, k.conname::text, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n (num, place)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.num ORDER BY n.place),
       coalesce(f.relname::text, ''),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n (num, place)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.num ORDER BY n.place),
       k.condeferred, pg_get_constraintdef(k.oid)
FROM pg_constraint k
JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_class f ON f.oid = k.confrelid
WHERE c.relnamespace = 'public'::regnamespace AND k.contype IN ('p', 'f', 'c') AND k.convalidated";

const INDEXES: &str = "
SELECT c.relname::text, x.relname::text, m.amname::text, i.indisunique,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true)
                    || CASE WHEN m.amname = 'btree' AND (i.indoption[n - 1] & 1) = 1 THEN ' DESC' ELSE '' END
             FROM generate_series(1, i.indnkeyatts) AS n ORDER BY n),
       pg_get_expr(i.indpred, i.indrelid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_am m ON m.oid = x.relam
WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisprimary AND i.indisvalid";

const POLICIES: &str = "
SELECT c.relname::text, pg_get_expr(p.polqual, p.polrelid)
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relrowsecurity
  AND p.polcmd = '*' AND p.polpermissive AND p.polwithcheck IS NULL AND p.polroles = '{0}'";

/// Every table of the schema by its name, persist's own included.
pub(crate) async fn read(database: &Database) -> Result<BTreeMap<String, Table>, Failure> {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for row in database.query(Statement::fixed(COLUMNS)).await? {
        let table = tables.entry(text(&row, 0)).or_default();
        let name = text(&row, 1);
        let shape = ColumnShape {
            sql_type: text(&row, 2),
            not_null: flag(&row, 3),
            default: optional(&row, 4),
            generated: optional(&row, 5),
            choices: BTreeSet::new(),
        };
        table.order.push(name.clone());
        table.columns.insert(name, shape);
    }
    for row in database.query(Statement::fixed(CONSTRAINTS)).await? {
        let Some(table) = tables.get_mut(&text(&row, 0)) else { continue };
        let columns = list(&row, 3);
        match text(&row, 2).as_str() {
            "p" => table.primary_key = columns,
            "f" => {
                let shape = ReferenceShape {
                    columns,
                    table: text(&row, 4),
                    targets: list(&row, 5),
                    deferred: flag(&row, 6),
                };
                table.references.insert(text(&row, 1), shape);
            }
            _ => {
                let column = columns.first().and_then(|column| table.columns.get_mut(column));
                if let Some(column) = column.filter(|_| columns.len() == 1) {
                    column.choices = quoted(&text(&row, 7));
                }
            }
        }
    }
    for row in database.query(Statement::fixed(INDEXES)).await? {
        let Some(table) = tables.get_mut(&text(&row, 0)) else { continue };
        let shape = IndexShape {
            method: text(&row, 2),
            unique: flag(&row, 3),
            parts: list(&row, 4).into_iter().map(|part| part.replace('"', "")).collect(),
            condition: optional(&row, 5).map(|condition| condition.replace(['(', ')', '"'], "")),
        };
        table.indexes.insert(text(&row, 1), shape);
    }
    for row in database.query(Statement::fixed(POLICIES)).await? {
        if let Some(table) = tables.get_mut(&text(&row, 0)) {
            table.policy = optional(&row, 1).map(|policy| plain(&policy));
        }
    }
    Ok(tables)
}

/// The texts in quotes of a constraint: the choices of an enum.
fn quoted(definition: &str) -> BTreeSet<String> {
    definition.split('\'').skip(1).step_by(2).map(str::to_owned).collect()
}

fn optional(row: &DriverRow, index: usize) -> Option<String> {
    with_column(row, index, |cell| cell.map(|cell| String::from_utf8_lossy(cell).into_owned()))
}

fn text(row: &DriverRow, index: usize) -> String {
    optional(row, index).unwrap_or_default()
}

fn flag(row: &DriverRow, index: usize) -> bool {
    with_column(row, index, |cell| cell.is_some_and(|cell| cell.first() == Some(&1)))
}

fn list(row: &DriverRow, index: usize) -> Vec<String> {
    with_column(row, index, |cell| {
        let items = cell.and_then(array_items).unwrap_or_default();
        items.into_iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect()
    })
}
