//! Scalars of filters, expectations and aggregates to cells and back.

use artel_proto::persist::Value;
use artel_proto::persist::value::Kind as Given;

use super::{Cell, Kind, moment, read_i32, read_i64};
use crate::plan::Column;

/// A scalar as a cell of the column's type (of its items' type, for a list). `None` and the empty UUID are NULL.
pub(crate) fn to_cell(column: &Column, value: &Value) -> Result<Cell, String> {
    let Some(given) = &value.kind else { return Ok(None) };
    let expected = |what: &str| Err(format!("`{}` is compared with {what}", column.path));
    Ok(match (column.kind, given) {
        (Kind::Uuid, Given::StringValue(text)) if text.is_empty() => None,
        (Kind::Uuid, Given::StringValue(text)) => match super::uuid(text) {
            Some(id) => Some(id),
            None => return expected("a UUID with hyphens"),
        },
        (Kind::Uuid, _) => return expected("a UUID with hyphens"),
        (Kind::Text, Given::StringValue(text)) => {
            if let Some(check) = column.check.as_ref().filter(|check| !check.names.contains(text)) {
                return expected(&format!("one of {}", check.names.join(", ")));
            }
            if text.contains('\0') {
                return expected("text without the character NUL");
            }
            super::text(text)
        }
        (Kind::Text, _) => return expected("a string"),
        (Kind::Bigint, Given::IntValue(number)) => super::bigint(*number),
        (Kind::Integer, Given::IntValue(number)) => match i32::try_from(*number) {
            Ok(number) => super::integer(number),
            Err(_) => return expected("a whole number of 32 bits"),
        },
        (Kind::Bigint | Kind::Integer, _) => return expected("a whole number"),
        (Kind::Boolean, Given::BoolValue(value)) => super::boolean(*value),
        (Kind::Boolean, _) => return expected("true or false"),
        (Kind::Double, Given::DoubleValue(value)) => Some(value.to_be_bytes().to_vec()),
        (Kind::Double, Given::IntValue(value)) => Some((*value as f64).to_be_bytes().to_vec()),
        (Kind::Double, _) => return expected("a number"),
        (Kind::Timestamp, Given::TimeValue(value)) => match super::timestamp(value) {
            Some(cell) => Some(cell),
            None => return expected("a moment between the years 1 and 9999"),
        },
        (Kind::Timestamp, _) => return expected("a moment"),
        (Kind::Bytes | Kind::Json, _) => return Err(format!("`{}` cannot be compared", column.path)),
    })
}

/// A cell as a scalar; without a kind for NULL and for what is none.
pub(crate) fn from_cell(kind: Kind, cell: Option<&[u8]>) -> Value {
    let given = cell.and_then(|cell| {
        Some(match kind {
            Kind::Uuid => Given::StringValue(uuid::Uuid::from_slice(cell).ok()?.to_string()),
            Kind::Text => Given::StringValue(std::str::from_utf8(cell).ok()?.to_owned()),
            Kind::Bigint => Given::IntValue(read_i64(cell)?),
            Kind::Integer => Given::IntValue(read_i32(cell)?.into()),
            Kind::Boolean => Given::BoolValue(*cell.first()? != 0),
            Kind::Double => Given::DoubleValue(f64::from_be_bytes(cell.try_into().ok()?)),
            Kind::Timestamp => Given::TimeValue(moment(cell)?),
            Kind::Bytes | Kind::Json => return None,
        })
    });
    Value { kind: given }
}
