//! The order of a query, and where a page begins in it.

use artel_proto::persist::Order;
use artel_util::Error;

use super::filter::Text;
use crate::plan::Entity;
use crate::sql::Row;
use crate::value::{Cell, Kind};

/// What rows are sorted by, the key last.
#[derive(Debug)]
pub(super) struct Sorting {
    pub(super) keys: Vec<Key>,
}

/// One of the things rows are sorted by.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) expression: String,
    pub(super) kind: Kind,
    /// The column that it is; nothing where it is the rank of a hit.
    column: Option<usize>,
    descending: bool,
    nullable: bool,
}

impl Sorting {
    /// The order asked for; with words and no order, the best hits first.
    pub(super) fn read(entity: &Entity, asked: &[Order], words: Option<&str>) -> Result<Self, Error> {
        let mut keys = Vec::with_capacity(asked.len() + 1);
        if let (true, Some(words)) = (asked.is_empty(), words) {
            // A whole number, so that a page can begin at exactly this rank.
            let expression = format!("(ts_rank(t.search, {words}) * 1000000)::integer");
            keys.push(Key {
                expression,
                kind: Kind::Integer,
                column: None,
                descending: true,
                nullable: false,
            });
        }
        let mut has_key = false;
        for (index, order) in asked.iter().enumerate() {
            let field = format!("orderBy[{index}].field");
            let at = entity.queryable(&order.field, &field)?;
            let column = &entity.columns[at];
            if column.is_list {
                return Err(Error::invalid(field, format!("`{}` is a list and has no order", column.path)));
            }
            has_key |= at == entity.key;
            keys.push(Key {
                expression: column.of("t"),
                kind: column.kind,
                column: Some(at),
                descending: order.descending,
                nullable: column.nullable,
            });
        }
        if !has_key {
            // The way of the key before it, as in the index that serves both.
            let descending = keys.last().is_some_and(|key| key.descending);
            let expression = entity.columns[entity.key].of("t");
            let column = Some(entity.key);
            keys.push(Key { expression, kind: Kind::Uuid, column, descending, nullable: false });
        }
        Ok(Self { keys })
    }

    pub(super) fn order_by(&self) -> String {
        let keys = self.keys.iter().map(|key| {
            if key.descending { format!("{} DESC", key.expression) } else { key.expression.clone() }
        });
        keys.collect::<Vec<_>>().join(", ")
    }

    /// Whether the best hits come first.
    pub(super) fn is_ranked(&self) -> bool {
        self.keys.iter().any(|key| key.column.is_none())
    }

    /// What is read of each row besides its columns, so that a page can end there.
    pub(super) fn beside(&self) -> String {
        let ranks = self.keys.iter().filter(|key| key.column.is_none());
        ranks.map(|key| format!(", {}", key.expression)).collect()
    }

    /// The values of a row that has these columns and what is [beside](Self::beside) them.
    pub(super) fn cells(&self, entity: &Entity, row: &Row) -> Vec<Cell> {
        let mut beside = entity.columns.len()..;
        let places = self.keys.iter().map(|key| key.column.or_else(|| beside.next()).unwrap_or_default());
        places.map(|place| row.column(place, |cell| cell.map(<[u8]>::to_vec))).collect()
    }

    /// Whether an index leads to the rows with these columns given in this order.
    pub(super) fn is_led(&self, entity: &Entity, given: &[usize]) -> bool {
        let order = self.keys.iter().map(|key| Some((key.column?, key.descending)));
        order.collect::<Option<Vec<_>>>().is_some_and(|order| entity.leads(given, &order))
    }

    /// Whether an index that has this order can begin at any of its rows.
    pub(super) fn is_plain(&self) -> bool {
        let same_way = self.keys.iter().all(|key| key.descending == self.keys[0].descending);
        same_way && self.keys.iter().all(|key| !key.nullable)
    }

    /// That a row comes after the one with these values. PostgreSQL takes NULL for greater than anything.
    pub(super) fn after(&self, cells: Vec<Cell>, text: &mut Text) -> String {
        let values: Vec<Option<String>> = self
            .keys
            .iter()
            .zip(cells)
            .map(|(key, cell)| cell.map(|cell| text.bind(key.kind, Some(cell))))
            .collect();
        if self.is_plain() {
            // In this form an index can begin right there.
            let names = self.keys.iter().map(|key| key.expression.clone()).collect::<Vec<_>>().join(", ");
            let values = values.into_iter().flatten().collect::<Vec<_>>().join(", ");
            let sign = if self.keys[0].descending { "<" } else { ">" };
            return format!("({names}) {sign} ({values})");
        }
        let mut branches = Vec::new();
        let mut equal: Vec<String> = Vec::new();
        for (key, value) in self.keys.iter().zip(&values) {
            let name = &key.expression;
            let beyond = match (value, key.descending) {
                (None, false) => None,
                (None, true) => Some(format!("{name} IS NOT NULL")),
                (Some(value), true) => Some(format!("{name} < {value}")),
                (Some(value), false) if key.nullable => Some(format!("({name} > {value} OR {name} IS NULL)")),
                (Some(value), false) => Some(format!("{name} > {value}")),
            };
            if let Some(beyond) = beyond {
                branches.push(equal.iter().cloned().chain([beyond]).collect::<Vec<_>>().join(" AND "));
            }
            equal.push(match value {
                Some(value) => format!("{name} = {value}"),
                None => format!("{name} IS NULL"),
            });
        }
        format!("(({}))", branches.join(") OR ("))
    }
}
