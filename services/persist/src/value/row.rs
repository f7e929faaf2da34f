//! Rows to protobuf bytes.

use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::Kind as Proto;

use super::{array_items, moment, part, read_i32, read_i64};
use crate::plan::{Entity, Field, Shape};
use crate::sql::Row;

/// A stored value that its field cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("the row's `{column}` cannot be read as the field of {entity}")]
pub(crate) struct Unreadable {
    entity: String,
    column: String,
}

/// Adds the entity's bytes of a row, whose columns stand first and in the plan's order.
pub(crate) fn message(entity: &Entity, row: &Row, out: &mut Vec<u8>) -> Result<(), Unreadable> {
    for field in &entity.fields {
        let written = row.column(field.column, |cell| {
            let Some(cell) = cell else { return Some(()) };
            if let Shape::Money = field.shape {
                row.column(field.column + 1, |currency| money(field, cell, currency.unwrap_or_default(), out))
            } else {
                write(entity, field, cell, out)
            }
        });
        written.ok_or_else(|| Unreadable {
            entity: entity.name.clone(),
            column: entity.columns[field.column].name.clone(),
        })?;
    }
    Ok(())
}

fn write(entity: &Entity, field: &Field, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let number = field.number;
    // A field without presence is not written where it holds its default.
    let always = field.has_presence;
    match &field.shape {
        Shape::Id => {
            let id = uuid::Uuid::from_slice(cell).ok()?;
            let mut buffer = uuid::Uuid::encode_buffer();
            bytes(number, id.hyphenated().encode_lower(&mut buffer).as_bytes(), out);
        }
        Shape::Text | Shape::Bytes => {
            if always || !cell.is_empty() {
                bytes(number, cell, out);
            }
        }
        Shape::Boolean => {
            let value = *cell.first()? != 0;
            if always || value {
                varint(number, u64::from(value), out);
            }
        }
        Shape::Integer => {
            let value = i64::from(read_i32(cell)?);
            if always || value != 0 {
                whole(number, &field.kind, value, out)?;
            }
        }
        Shape::Bigint => {
            let value = read_i64(cell)?;
            if always || value != 0 {
                whole(number, &field.kind, value, out)?;
            }
        }
        Shape::Double => {
            let value = f64::from_be_bytes(cell.try_into().ok()?);
            if always || value != 0.0 {
                double(number, &field.kind, value, out);
            }
        }
        Shape::Choice(choices) => {
            let value = choices.get_value_by_name(std::str::from_utf8(cell).ok()?)?.number();
            if always || value != 0 {
                whole(number, &Proto::Int32, i64::from(value), out)?;
            }
        }
        Shape::Moment => {
            let moment = moment(cell)?;
            encode_key(number, WireType::LengthDelimited, out);
            encode_varint(prost::Message::encoded_len(&moment) as u64, out);
            prost::Message::encode_raw(&moment, out);
        }
        Shape::List(_) => list(field, cell, out)?,
        // Nothing in it, as most often.
        Shape::Part if field.is_repeated && matches!(cell, [_, b'[', b']'] | [_, b'{', b'}']) => {}
        Shape::Part => out.extend_from_slice(&part::from_json(&entity.descriptor, &field.descriptor, cell)?),
        Shape::Money => return None,
    }
    Some(())
}

fn money(field: &Field, amount: &[u8], currency: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut inside = Vec::with_capacity(16);
    let amount = read_i64(amount)?;
    if amount != 0 {
        whole(1, &Proto::Int64, amount, &mut inside)?;
    }
    if !currency.is_empty() {
        bytes(2, currency, &mut inside);
    }
    bytes(field.number, &inside, out);
    Some(())
}

fn list(field: &Field, cell: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (number, kind) = (field.number, &field.kind);
    for item in array_items(cell)? {
        match kind {
            Proto::String => bytes(number, item, out),
            Proto::Bool => varint(number, u64::from(*item.first()? != 0), out),
            _ => whole(number, kind, read_i64(item).or_else(|| read_i32(item).map(i64::from))?, out)?,
        }
    }
    Some(())
}

fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

fn whole(number: u32, kind: &Proto, value: i64, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Proto::Int32 | Proto::Int64 | Proto::Uint32 => varint(number, value as u64, out),
        Proto::Sint32 | Proto::Sint64 => varint(number, ((value << 1) ^ (value >> 63)) as u64, out),
        Proto::Sfixed64 => {
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Proto::Sfixed32 => {
            encode_key(number, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&i32::try_from(value).ok()?.to_le_bytes());
        }
        Proto::Fixed32 => {
            encode_key(number, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
        }
        _ => return None,
    }
    Some(())
}

fn double(number: u32, kind: &Proto, value: f64, out: &mut Vec<u8>) {
    if *kind == Proto::Float {
        encode_key(number, WireType::ThirtyTwoBit, out);
        out.extend_from_slice(&(value as f32).to_le_bytes());
    } else {
        encode_key(number, WireType::SixtyFourBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}
