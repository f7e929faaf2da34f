//! Cells as the change log and errors show them: JSON and text as PostgreSQL itself writes them, in UTC.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value as Json;

use crate::plan::{Column, Entity};
use crate::value::{Cell, Kind, literal_items, read_i32, read_i64};

/// A cell of jsonb begins with the version of its form.
const JSONB: u8 = 1;
/// Characters of a value that an error shows.
const SHOWN: usize = 200;
/// Microseconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH: i64 = 946_684_800_000_000;

/// Columns of a row as a JSON object, without those that are secret: a cell of jsonb.
pub(super) fn object(entity: &Entity, columns: impl Iterator<Item = usize>, cells: &[Cell]) -> Vec<u8> {
    let mut out = String::from("{");
    for index in columns {
        let column = &entity.columns[index];
        if column.secret {
            continue;
        }
        if out.len() > 1 {
            out.push(',');
        }
        let _ = write!(out, "\"{}\":", column.name);
        json(column, cells[index].as_deref(), &mut out);
    }
    out.push('}');
    let mut cell = Vec::with_capacity(out.len() + 1);
    cell.push(JSONB);
    cell.extend_from_slice(out.as_bytes());
    cell
}

/// Whether two cells of a column hold the same value.
pub(super) fn same(column: &Column, one: Option<&[u8]>, other: Option<&[u8]>) -> bool {
    if one == other {
        return true;
    }
    let (Some(one), Some(other)) = (one, other) else { return false };
    if column.is_list {
        return literal_items(&text_of(one)) == literal_items(&text_of(other));
    }
    match column.kind {
        // Keys in another order and other spaces: PostgreSQL keeps JSON in a form of its own.
        Kind::Json => matches!((parse(one), parse(other)), (Some(one), Some(other)) if equal(&one, &other)),
        Kind::Double => double(one) == double(other) || double(one).is_nan() && double(other).is_nan(),
        _ => false,
    }
}

/// A scalar as text, as far as an error shows it; `None` for NULL and for what is secret.
pub(super) fn shown(column: &Column, cell: Option<&[u8]>) -> Option<String> {
    let cell = cell.filter(|_| !column.secret)?;
    let text = match column.kind {
        Kind::Timestamp => timestamp(cell, "%Y-%m-%d %H:%M:%S", "+00"),
        _ => plain(column.kind, cell),
    };
    Some(text.chars().take(SHOWN).collect())
}

fn json(column: &Column, cell: Option<&[u8]>, out: &mut String) {
    let Some(cell) = cell else { return out.push_str("null") };
    if column.is_list {
        out.push('[');
        for (index, item) in literal_items(&text_of(cell)).into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            match item {
                None => out.push_str("null"),
                Some(item) if column.kind == Kind::Boolean => {
                    out.push_str(if item.starts_with('t') { "true" } else { "false" });
                }
                Some(item) if column.kind == Kind::Text => quote(&item, out),
                Some(item) => out.push_str(&item),
            }
        }
        return out.push(']');
    }
    match column.kind {
        Kind::Json => out.push_str(&text_of(cell.get(1..).unwrap_or_default())),
        Kind::Bigint | Kind::Integer | Kind::Boolean => out.push_str(&plain(column.kind, cell)),
        Kind::Double if double(cell).is_finite() => out.push_str(&plain(column.kind, cell)),
        Kind::Timestamp => quote(&timestamp(cell, "%Y-%m-%dT%H:%M:%S", "+00:00"), out),
        _ => quote(&plain(column.kind, cell), out),
    }
}

fn plain(kind: Kind, cell: &[u8]) -> String {
    match kind {
        Kind::Uuid => uuid::Uuid::from_slice(cell).unwrap_or_default().to_string(),
        Kind::Bigint => read_i64(cell).unwrap_or_default().to_string(),
        Kind::Integer => read_i32(cell).unwrap_or_default().to_string(),
        Kind::Boolean => (cell.first() == Some(&1)).to_string(),
        Kind::Double => match double(cell) {
            number if number.is_nan() => "NaN".to_owned(),
            number if number.is_infinite() && number > 0.0 => "Infinity".to_owned(),
            number if number.is_infinite() => "-Infinity".to_owned(),
            number => number.to_string(),
        },
        Kind::Bytes => cell.iter().fold("\\x".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }),
        Kind::Text | Kind::Json | Kind::Timestamp => text_of(cell).into_owned(),
    }
}

fn timestamp(cell: &[u8], form: &str, zone: &str) -> String {
    let micros = read_i64(cell).unwrap_or_default().saturating_add(EPOCH);
    let moment: DateTime<Utc> = DateTime::from_timestamp_micros(micros).unwrap_or_default();
    let mut text = moment.format(form).to_string();
    let fraction = micros.rem_euclid(1_000_000);
    if fraction > 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text + zone
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&Json::from(text).to_string());
}

fn double(cell: &[u8]) -> f64 {
    f64::from_be_bytes(cell.try_into().unwrap_or_default())
}

fn text_of(cell: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(cell)
}

fn parse(cell: &[u8]) -> Option<Json> {
    serde_json::from_slice(cell.get(1..)?).ok()
}

/// Equal as PostgreSQL sees it: 1e16 is the same number as 10000000000000000.
fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            one == other || !(one.is_i64() && other.is_i64()) && one.as_f64() == other.as_f64()
        }
        (Json::Array(one), Json::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Json::Object(one), Json::Object(other)) => {
            let same = |(name, value)| other.get(name).is_some_and(|other| equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plans;
    use crate::value;

    #[test]
    fn a_row_is_shown_as_postgresql_would() {
        let plans = plans();
        let product = plans.entity("artel.catalog.v1.Product", "entity").unwrap();
        let mut cells: Vec<Cell> = vec![None; product.columns.len()];
        let mut set = |path: &str, cell: Cell| cells[product.column(path).unwrap()] = cell;
        set("name", value::text("\"Чай\"\n"));
        set("stock", value::integer(-5));
        set("pictures", Some(br#"{"a\"b,c",plain,NULL}"#.to_vec()));
        set("update_time", value::bigint(1_500_000));
        let columns = ["name", "stock", "pictures", "category_id", "update_time"];
        let columns = columns.map(|path| product.column(path).unwrap());
        let cell = object(product, columns.into_iter(), &cells);
        assert_eq!(
            std::str::from_utf8(&cell[1..]).unwrap(),
            r#"{"name":"\"Чай\"\n","stock":-5,"pictures":["a\"b,c","plain",null],"category_id":null,"update_time":"2000-01-01T00:00:01.5+00:00"}"#
        );
        let time = &product.columns[product.update_time.unwrap()];
        assert_eq!(shown(time, Some(&[0; 8])).unwrap(), "2000-01-01 00:00:00+00");
    }

    #[test]
    fn what_differs_in_form_alone_is_the_same() {
        let plans = plans();
        let product = plans.entity("artel.catalog.v1.Product", "entity").unwrap();
        let column = |path: &str| &product.columns[product.column(path).unwrap()];
        let params = column("params");
        assert!(same(
            params,
            Some(b"\x01[{\"a\":1,\"b\":1e16}]"),
            Some(b"\x01[{\"b\": 10000000000000000, \"a\": 1}]")
        ));
        assert!(!same(params, Some(b"\x01[{\"a\":1}]"), Some(b"\x01[{\"a\":2}]")));
        assert!(same(column("pictures"), Some(b"{\"a\",\"b\"}"), Some(b"{a,b}")));
        assert!(!same(column("pictures"), Some(b"{\"a\",\"b\"}"), Some(b"{\"a,b\"}")));
        assert!(!same(column("name"), Some(b"a"), None));
    }
}
