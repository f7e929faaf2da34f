//! Nested messages as JSON and back: parts of an entity, stored with it. Names are the proto's; whole numbers are JSON
//! numbers, which PostgreSQL keeps exactly.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as Proto, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serde_json::{Map, Number, Value as Json};

/// JSON text as a cell of jsonb: its version, then the text.
pub(super) fn json(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.push(1);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The field's segments of the entity's bytes as a cell of jsonb.
pub(super) fn to_json(
    entity: &MessageDescriptor,
    field: &FieldDescriptor,
    segments: &[u8],
) -> Result<Vec<u8>, String> {
    let message = DynamicMessage::decode(entity.clone(), segments)
        .map_err(|_| "is no protobuf of its type".to_owned())?;
    let value = write(&message.get_field(field), field)?;
    Ok(json(&value.to_string()))
}

/// A cell of jsonb as the field's segment of the entity's bytes.
pub(super) fn from_json(entity: &MessageDescriptor, field: &FieldDescriptor, cell: &[u8]) -> Option<Vec<u8>> {
    use prost::Message as _;
    let value: Json = serde_json::from_slice(cell.get(1..)?).ok()?;
    let mut message = DynamicMessage::new(entity.clone());
    message.set_field(field, read(&value, field)?);
    Some(message.encode_to_vec())
}

fn write(value: &Value, field: &FieldDescriptor) -> Result<Json, String> {
    match value {
        Value::List(items) => {
            items.iter().map(|item| write_one(item, &field.kind())).collect::<Result<_, _>>().map(Json::Array)
        }
        Value::Map(entries) => {
            let Proto::Message(entry) = field.kind() else { return Err("is no map".to_owned()) };
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(key_text(key), write_one(value, &entry.map_entry_value_field().kind())?);
            }
            Ok(Json::Object(object))
        }
        value => write_one(value, &field.kind()),
    }
}

fn write_one(value: &Value, kind: &Proto) -> Result<Json, String> {
    Ok(match value {
        Value::Bool(value) => Json::Bool(*value),
        Value::I32(value) => Json::from(*value),
        Value::I64(value) => Json::from(*value),
        Value::U32(value) => Json::from(*value),
        Value::U64(value) => Json::from(*value),
        Value::F32(value) => float(f64::from(*value))?,
        Value::F64(value) => float(*value)?,
        Value::String(value) if value.contains('\0') => {
            return Err("must not hold the character NUL".to_owned());
        }
        Value::String(value) => Json::String(value.clone()),
        Value::Bytes(value) => Json::String(STANDARD.encode(value)),
        Value::EnumNumber(number) => {
            let Proto::Enum(choices) = kind else { return Err("is no enum".to_owned()) };
            let choice = choices.get_value(*number).ok_or_else(|| format!("has no choice {number}"))?;
            Json::String(choice.name().to_owned())
        }
        Value::Message(message) => {
            if let Some(unknown) = message.unknown_fields().next() {
                let (number, name) = (unknown.number(), message.descriptor().full_name().to_owned());
                return Err(format!("holds field {number}, which {name} does not have"));
            }
            let mut object = Map::new();
            for (field, value) in message.fields() {
                object.insert(field.name().to_owned(), write(value, &field)?);
            }
            Json::Object(object)
        }
        Value::List(_) | Value::Map(_) => return Err("is nested too deep".to_owned()),
    })
}

fn float(value: f64) -> Result<Json, String> {
    Number::from_f64(value).map(Json::Number).ok_or_else(|| "must be a finite number".to_owned())
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn read(json: &Json, field: &FieldDescriptor) -> Option<Value> {
    if field.is_map() {
        let Proto::Message(entry) = field.kind() else { return None };
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let entries = json.as_object()?.iter();
        let entries = entries.map(|(name, json)| Some((read_key(name, &key)?, read_one(json, &value)?)));
        return entries.collect::<Option<_>>().map(Value::Map);
    }
    if field.is_list() {
        let items = json.as_array()?.iter().map(|item| read_one(item, &field.kind()));
        return items.collect::<Option<_>>().map(Value::List);
    }
    read_one(json, &field.kind())
}

fn read_one(json: &Json, kind: &Proto) -> Option<Value> {
    Some(match kind {
        Proto::Bool => Value::Bool(json.as_bool()?),
        Proto::Int32 | Proto::Sint32 | Proto::Sfixed32 => Value::I32(i32::try_from(json.as_i64()?).ok()?),
        Proto::Int64 | Proto::Sint64 | Proto::Sfixed64 => Value::I64(json.as_i64()?),
        Proto::Uint32 | Proto::Fixed32 => Value::U32(u32::try_from(json.as_u64()?).ok()?),
        Proto::Uint64 | Proto::Fixed64 => Value::U64(json.as_u64()?),
        Proto::Float => Value::F32(json.as_f64()? as f32),
        Proto::Double => Value::F64(json.as_f64()?),
        Proto::String => Value::String(json.as_str()?.to_owned()),
        Proto::Bytes => Value::Bytes(STANDARD.decode(json.as_str()?).ok()?.into()),
        Proto::Enum(choices) => Value::EnumNumber(choices.get_value_by_name(json.as_str()?)?.number()),
        Proto::Message(descriptor) => {
            let mut message = DynamicMessage::new(descriptor.clone());
            for (name, json) in json.as_object()? {
                // A field that the message has lost since is left out.
                if let Some(field) = descriptor.get_field_by_name(name) {
                    message.set_field(&field, read(json, &field)?);
                }
            }
            Value::Message(message)
        }
    })
}

fn read_key(name: &str, kind: &Proto) -> Option<MapKey> {
    Some(match kind {
        Proto::Bool => MapKey::Bool(name.parse().ok()?),
        Proto::Int32 | Proto::Sint32 | Proto::Sfixed32 => MapKey::I32(name.parse().ok()?),
        Proto::Int64 | Proto::Sint64 | Proto::Sfixed64 => MapKey::I64(name.parse().ok()?),
        Proto::Uint32 | Proto::Fixed32 => MapKey::U32(name.parse().ok()?),
        Proto::Uint64 | Proto::Fixed64 => MapKey::U64(name.parse().ok()?),
        _ => MapKey::String(name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use artel_proto::order::{Order, OrderItem};
    use artel_proto::types::Money;
    use artel_proto::{Message as _, annotations};

    use super::*;

    #[test]
    fn a_part_survives() {
        let price = Money { amount_minor: i64::MAX, currency: "RUB".into() };
        let item = OrderItem {
            product_id: "p".into(),
            name: "Чай \"A\"".into(),
            quantity: -3,
            price: Some(price),
            ..OrderItem::default()
        };
        let order = Order { items: vec![item.clone(), OrderItem::default(), item], ..Order::default() };
        let entity = annotations::pool().get_message_by_name("artel.order.v1.Order").unwrap();
        let field = entity.get_field_by_name("items").unwrap();
        let cell = to_json(&entity, &field, &order.encode_to_vec()).unwrap();
        let back = from_json(&entity, &field, &cell).unwrap();
        assert_eq!(Order::decode(back.as_slice()).unwrap(), order);
    }
}
