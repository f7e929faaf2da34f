//! Protobuf bytes to cells.

use prost::encoding::{WireType, decode_key, decode_varint};

use super::{Cell, array_literal, part, timestamp};
use crate::plan::{Column, Entity, Field, Shape};

/// What is wrong with a body: the field in JSON spelling (empty for the body itself), and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) field: String,
    pub(crate) description: String,
}

impl Wrong {
    pub(crate) fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// Decodes an entity into the cells of its columns, in the plan's order, as they go into a statement: lists are in
/// their text form. Fields that aren't the entity's, values that no column can hold, and bytes that are no protobuf
/// are refused. What is absent gets the column's default.
pub(crate) fn decode(entity: &Entity, mut bytes: &[u8]) -> Result<Vec<Cell>, Wrong> {
    let mut cells: Vec<Option<Cell>> = vec![None; entity.columns.len()];
    let mut lists: Vec<(usize, Vec<String>)> = Vec::new();
    let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
    let malformed = || Wrong::new("", format!("is no protobuf of {}", entity.name));
    while !bytes.is_empty() {
        let start = bytes;
        let (number, wire) = decode_key(&mut bytes).map_err(|_| malformed())?;
        let index = entity.fields.binary_search_by_key(&number, |field| field.number).map_err(|_| {
            Wrong::new("", format!("holds field {number}, which {} does not have", entity.name))
        })?;
        let field = &entity.fields[index];
        let value = Wire::read(wire, &mut bytes).ok_or_else(malformed)?;
        match &field.shape {
            Shape::Part => {
                let segment = &start[..start.len() - bytes.len()];
                entry(&mut parts, index).extend_from_slice(segment);
            }
            Shape::List(_) => list(field, value, entry(&mut lists, index)).ok_or_else(malformed)?,
            Shape::Money => {
                let Wire::Bytes(inside) = value else { return Err(malformed()) };
                money(field, inside, &mut cells).map_err(|description| wrong(field, description))?;
            }
            _ => {
                let cell = scalar(field, value).map_err(|description| wrong(field, description))?;
                cells[field.column] = Some(cell);
            }
        }
    }
    for (index, items) in lists {
        let field = &entity.fields[index];
        let literal = array_literal(items.iter().map(String::as_str));
        if literal.contains('\0') {
            return Err(wrong(field, "must not hold the character NUL"));
        }
        cells[field.column] = Some(Some(literal.into_bytes()));
    }
    for (index, segments) in parts {
        let field = &entity.fields[index];
        let json = part::to_json(&entity.descriptor, &field.descriptor, &segments)
            .map_err(|description| wrong(field, description))?;
        cells[field.column] = Some(Some(json));
    }
    let cells = cells.into_iter().zip(&entity.columns);
    Ok(cells.map(|(cell, column)| cell.unwrap_or_else(|| absent(column))).collect())
}

fn wrong(field: &Field, description: impl Into<String>) -> Wrong {
    Wrong::new(field.descriptor.json_name(), description)
}

fn entry<T: Default>(entries: &mut Vec<(usize, T)>, index: usize) -> &mut T {
    let at = entries.iter().position(|(other, _)| *other == index).unwrap_or_else(|| {
        entries.push((index, T::default()));
        entries.len() - 1
    });
    &mut entries[at].1
}

/// The text of a string field of any message, empty where it is absent; `None` where the bytes are no message.
pub(crate) fn text_field(mut bytes: &[u8], field: u32) -> Option<&str> {
    let mut text = "";
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        let value = Wire::read(wire, &mut bytes)?;
        if let (true, Wire::Bytes(inside)) = (number == field, value) {
            text = std::str::from_utf8(inside).ok()?;
        }
    }
    Some(text)
}

/// What a column holds where the body says nothing.
fn absent(column: &Column) -> Cell {
    use super::Kind;
    if column.nullable {
        return None;
    }
    if column.is_list {
        return Some(b"{}".to_vec());
    }
    match column.kind {
        Kind::Text => {
            let name = column.check.as_ref().and_then(|check| check.names.first());
            Some(name.map_or_else(Vec::new, |name| name.as_bytes().to_vec()))
        }
        Kind::Bytes => Some(Vec::new()),
        Kind::Bigint | Kind::Double => Some(vec![0; 8]),
        Kind::Integer => Some(vec![0; 4]),
        Kind::Boolean => Some(vec![0]),
        Kind::Json => Some(part::json(if column.is_json_list { "[]" } else { "{}" })),
        // The key and the stamps: filled in by others.
        Kind::Uuid | Kind::Timestamp => None,
    }
}

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn read(wire: WireType, bytes: &mut &'a [u8]) -> Option<Self> {
        Some(match wire {
            WireType::Varint => Self::Varint(decode_varint(bytes).ok()?),
            WireType::SixtyFourBit => {
                let (value, rest) = bytes.split_first_chunk::<8>()?;
                *bytes = rest;
                Self::Fixed64(u64::from_le_bytes(*value))
            }
            WireType::ThirtyTwoBit => {
                let (value, rest) = bytes.split_first_chunk::<4>()?;
                *bytes = rest;
                Self::Fixed32(u32::from_le_bytes(*value))
            }
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                Self::Bytes(value)
            }
            WireType::StartGroup | WireType::EndGroup => return None,
        })
    }

    /// The value as a whole number of the field's kind.
    fn number(self, kind: &prost_reflect::Kind) -> Option<i64> {
        use prost_reflect::Kind as Proto;
        Some(match (kind, self) {
            (Proto::Int64, Self::Varint(value)) => value as i64,
            // As every implementation does: a longer varint is cut.
            (Proto::Int32 | Proto::Enum(_), Self::Varint(value)) => i64::from(value as i32),
            (Proto::Uint32, Self::Varint(value)) => i64::from(value as u32),
            (Proto::Sint64, Self::Varint(value)) => unzigzag(value),
            (Proto::Sint32, Self::Varint(value)) => i64::from(unzigzag(u64::from(value as u32)) as i32),
            (Proto::Sfixed64, Self::Fixed64(value)) => value as i64,
            (Proto::Sfixed32, Self::Fixed32(value)) => i64::from(value as i32),
            (Proto::Fixed32, Self::Fixed32(value)) => i64::from(value),
            (Proto::Bool, Self::Varint(value)) => i64::from(value != 0),
            _ => return None,
        })
    }
}

fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

const WRONG_TYPE: &str = "has the wrong wire type";

fn scalar(field: &Field, value: Wire<'_>) -> Result<Cell, String> {
    let kind = &field.kind;
    let number = || value.number(kind).ok_or_else(|| WRONG_TYPE.to_owned());
    let inside = || if let Wire::Bytes(inside) = value { Ok(inside) } else { Err(WRONG_TYPE.to_owned()) };
    Ok(match &field.shape {
        Shape::Id => {
            let text = utf8(inside()?)?;
            if text.is_empty() {
                None
            } else {
                Some(
                    super::uuid(text)
                        .ok_or_else(|| format!("must be a UUID with hyphens, is `{}`", short(text)))?,
                )
            }
        }
        Shape::Text => Some(utf8(inside()?)?.as_bytes().to_vec()),
        Shape::Bytes => Some(inside()?.to_vec()),
        Shape::Boolean => super::boolean(number()? != 0),
        Shape::Integer => super::integer(i32::try_from(number()?).map_err(|_| "does not fit 32 bits")?),
        Shape::Bigint => super::bigint(number()?),
        Shape::Double => {
            let float = match (kind, value) {
                (prost_reflect::Kind::Double, Wire::Fixed64(bits)) => f64::from_bits(bits),
                (prost_reflect::Kind::Float, Wire::Fixed32(bits)) => f64::from(f32::from_bits(bits)),
                _ => return Err(WRONG_TYPE.to_owned()),
            };
            Some(float.to_be_bytes().to_vec())
        }
        Shape::Choice(choices) => {
            let number = number()?;
            let choice = i32::try_from(number).ok().and_then(|number| choices.get_value(number));
            let choice = choice.ok_or_else(|| format!("has no choice {number}"))?;
            super::text(choice.name())
        }
        Shape::Moment => {
            let moment =
                <prost_types::Timestamp as prost::Message>::decode(inside()?).map_err(|_| WRONG_TYPE)?;
            Some(timestamp(&moment).ok_or("is not between the years 1 and 9999")?)
        }
        Shape::Money | Shape::List(_) | Shape::Part => return Err(WRONG_TYPE.to_owned()),
    })
}

fn money(field: &Field, mut bytes: &[u8], cells: &mut [Option<Cell>]) -> Result<(), String> {
    let (mut amount, mut currency) = (super::bigint(0), super::text(""));
    while !bytes.is_empty() {
        let (number, wire) = decode_key(&mut bytes).map_err(|_| WRONG_TYPE)?;
        match (number, Wire::read(wire, &mut bytes).ok_or(WRONG_TYPE)?) {
            (1, Wire::Varint(value)) => amount = super::bigint(value as i64),
            (2, Wire::Bytes(value)) => currency = super::text(utf8(value)?),
            _ => return Err(format!("holds field {number}, which artel.type.v1.Money does not have")),
        }
    }
    cells[field.column] = Some(amount);
    cells[field.column + 1] = Some(currency);
    Ok(())
}

/// Adds the items of a repeated scalar, packed or not; `None` where the wire type is wrong.
fn list(field: &Field, value: Wire<'_>, items: &mut Vec<String>) -> Option<()> {
    use prost_reflect::Kind as Proto;
    let kind = &field.kind;
    let item = |value: Wire<'_>| -> Option<String> {
        let number = value.number(kind)?;
        Some(if *kind == Proto::Bool { (number != 0).to_string() } else { number.to_string() })
    };
    match (kind, value) {
        (Proto::String, Wire::Bytes(inside)) => items.push(std::str::from_utf8(inside).ok()?.to_owned()),
        (_, Wire::Bytes(mut packed)) => {
            let wire = match kind {
                Proto::Sfixed64 => WireType::SixtyFourBit,
                Proto::Sfixed32 => WireType::ThirtyTwoBit,
                _ => WireType::Varint,
            };
            while !packed.is_empty() {
                items.push(item(Wire::read(wire, &mut packed)?)?);
            }
        }
        (_, value) => items.push(item(value)?),
    }
    Some(())
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    if text.contains('\0') { Err("must not hold the character NUL".to_owned()) } else { Ok(text) }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use artel_proto::Message as _;
    use artel_proto::order::Order;

    use super::*;
    use crate::plan::tests::plans;

    fn decode_order(bytes: &[u8]) -> Result<Vec<Cell>, Wrong> {
        decode(plans().entity("artel.order.v1.Order", "entity").unwrap(), bytes)
    }

    #[test]
    fn what_no_column_can_hold_is_refused_by_name() {
        let order = Order { number: "a\0b".into(), ..Order::default() };
        assert_eq!(decode_order(&order.encode_to_vec()).unwrap_err().field, "number");
        let order = Order { id: "abc".into(), ..Order::default() };
        assert_eq!(decode_order(&order.encode_to_vec()).unwrap_err().field, "id");
        let order = Order { status: 99, ..Order::default() };
        assert_eq!(decode_order(&order.encode_to_vec()).unwrap_err().field, "status");
    }

    #[test]
    fn unknown_fields_and_broken_bytes_are_refused() {
        // Field 99, varint 1.
        assert!(decode_order(&[0x98, 0x06, 0x01]).unwrap_err().description.contains("field 99"));
        assert!(decode_order(&[0x0a, 0xff]).is_err());
        // `number` as a varint.
        assert!(decode_order(&[0x10, 0x01]).is_err());
        // An unknown field inside an item.
        assert_eq!(decode_order(&[0x2a, 0x03, 0x98, 0x06, 0x01]).unwrap_err().field, "items");
    }
}
