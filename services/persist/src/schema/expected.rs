//! The tables that the plans want.

use std::collections::BTreeMap;

use super::{ColumnShape, IndexShape, POLICY, ReferenceShape, Table, plain};
use crate::plan::{Entity, Plans, SEARCH, WORKSPACE};
use crate::value::Kind;

/// Every entity's table by its name.
pub(crate) fn expected(plans: &Plans) -> BTreeMap<String, Table> {
    plans.all().map(|entity| (entity.table.clone(), table(plans, entity))).collect()
}

fn table(plans: &Plans, entity: &Entity) -> Table {
    let mut table = Table::default();
    let mut add = |name: &str, shape: ColumnShape| {
        table.order.push(name.to_owned());
        table.columns.insert(name.to_owned(), shape);
    };
    if entity.scoped {
        add(
            WORKSPACE,
            ColumnShape { sql_type: Kind::Uuid.sql().into(), not_null: true, ..Default::default() },
        );
        table.policy = Some(plain(POLICY));
    }
    for column in &entity.columns {
        let choices = column.check.iter().flat_map(|check| check.names.iter().cloned()).collect();
        let shape = ColumnShape {
            sql_type: column.sql_type(),
            not_null: !column.nullable,
            default: column.default(),
            generated: None,
            choices,
        };
        add(&column.name, shape);
    }
    let key = entity.columns[entity.key].name.clone();
    table.primary_key = own(entity, &key);
    if let Some(generated) = search(entity) {
        let shape =
            ColumnShape { sql_type: "tsvector".into(), generated: Some(generated), ..Default::default() };
        table.order.push(SEARCH.to_owned());
        table.columns.insert(SEARCH.to_owned(), shape);
        let index = IndexShape { method: "gin".into(), parts: vec![SEARCH.into()], ..Default::default() };
        table.indexes.insert(format!("{}_{SEARCH}_idx", entity.table), index);
    }
    for index in &entity.indexes {
        let shape = if index.is_inverted(entity) {
            let parts =
                index.columns.iter().map(|(column, _)| entity.columns[*column].name.clone()).collect();
            IndexShape { method: "gin".into(), parts, ..Default::default() }
        } else {
            IndexShape {
                method: "btree".into(),
                parts: index.parts(entity),
                unique: index.unique,
                condition: index.condition(entity),
            }
        };
        table.indexes.insert(index.name(entity), shape);
    }
    for reference in &entity.references {
        let target = plans.target(reference);
        let column = &entity.columns[reference.column].name;
        let target_key = &target.columns[target.key].name;
        let shape = ReferenceShape {
            columns: if target.scoped { own(entity, column) } else { vec![column.clone()] },
            table: target.table.clone(),
            targets: own(target, target_key),
            deferred: true,
        };
        table.references.insert(reference.name(entity), shape);
    }
    table
}

/// The column, after the workspace where there is one.
fn own(entity: &Entity, column: &str) -> Vec<String> {
    let workspace = entity.scoped.then(|| WORKSPACE.to_owned());
    workspace.into_iter().chain([column.to_owned()]).collect()
}

/// What the search column is computed from: each field in Russian, in English and verbatim, with its weight.
fn search(entity: &Entity) -> Option<String> {
    let parts = entity.search.iter().flat_map(|(column, weight)| {
        let column = entity.columns[*column].quoted();
        ["russian", "english", "simple"]
            .map(|language| format!("setweight(to_tsvector('{language}', {column}), '{weight}')"))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("\n        || "))
}
