//! A call of each method that can be copied and tried.

use artel_proto::annotations;
use artel_proto::options::{Format, Stamp};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::model::{Access, Binding};

/// Where the mesh answers on a laptop; the page puts its own address here.
pub const ADDRESS: &str = "http://localhost:8080";
const ID: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";
const MAX_DEPTH: usize = 4;

/// A call with curl.
pub fn curl(method: &MethodDescriptor, binding: &Binding, access: &Access) -> String {
    let mut parts = vec![match binding.verb.as_str() {
        "GET" => "curl".to_owned(),
        verb => format!("curl -X {verb}"),
    }];
    let input = method.input();
    let has_mask = input.get_field_by_name("update_mask").is_some();
    let body = body(&input, binding, has_mask);
    let mut query = String::new();
    if let (true, Some(Value::Object(members))) = (has_mask, &body) {
        let names: Vec<_> = members.keys().cloned().collect();
        query = format!("?updateMask={}", names.join(","));
    } else if binding.verb == "GET" {
        query = sample_query(&input, binding);
    }
    parts.push(format!("'{ADDRESS}{}{query}'", filled(&binding.path)));
    if *access != Access::Public {
        parts.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
    }
    if method.is_client_streaming() {
        parts.push("-H 'Content-Type: application/xml'".to_owned());
        parts.push("-T feed.yml".to_owned());
    } else if let Some(body) = body {
        parts.push("-H 'Content-Type: application/json'".to_owned());
        parts.push(format!("-d '{}'", body.to_string().replace('\'', "'\\''")));
    }
    joined(&parts)
}

/// A call with grpcurl.
pub fn grpcurl(method: &MethodDescriptor, access: &Access) -> String {
    let mut parts = vec!["grpcurl -plaintext".to_owned()];
    if *access != Access::Public {
        parts.push("-H \"authorization: Bearer $TOKEN\"".to_owned());
    }
    let mut message = object(&method.input(), 0);
    if let (true, Some(members)) = (lists(method), message.as_object_mut()) {
        members.retain(|name, _| matches!(name.as_str(), "search" | "pageSize"));
    }
    if message.as_object().is_some_and(|members| !members.is_empty()) {
        parts.push(format!("-d '{message}'"));
    }
    let address = ADDRESS.trim_start_matches("http://");
    parts.push(format!("{address} {}/{}", method.parent_service().full_name(), method.name()));
    joined(&parts)
}

/// On one line where it fits.
fn joined(parts: &[String]) -> String {
    let line = parts.join(" ");
    if line.len() <= 90 { line } else { parts.join(" \\\n  ") }
}

/// A method that asks for pages: everything in its request is a wish, and one or two show how.
fn lists(method: &MethodDescriptor) -> bool {
    method.input().get_field_by_name("page_token").is_some()
}

/// The body, where the method has one.
fn body(input: &MessageDescriptor, binding: &Binding, partial: bool) -> Option<Value> {
    match binding.body.as_str() {
        "" => None,
        "*" => {
            let mut value = object(input, 0);
            if let Value::Object(members) = &mut value {
                members.retain(|name, _| !in_path(input, binding, name));
            }
            Some(value)
        }
        field => {
            let field = input.get_field_by_json_name(field)?;
            let Kind::Message(message) = field.kind() else { return None };
            Some(if partial { change(&message) } else { object(&message, 1) })
        }
    }
}

fn in_path(input: &MessageDescriptor, binding: &Binding, json_name: &str) -> bool {
    let name = input.get_field_by_json_name(json_name).map(|field| field.name().to_owned());
    name.is_some_and(|name| binding.path.contains(&format!("{{{name}}}")))
}

/// A change of one field: the first plain text that a person would change.
fn change(message: &MessageDescriptor) -> Value {
    let text = message.fields().find(|field| {
        let options = annotations::field(field);
        let rules = options.rules.unwrap_or_default();
        field.kind() == Kind::String && rules.required && rules.format() == Format::Unspecified
    });
    let field = text.or_else(|| message.fields().find(|field| !annotations::field(field).key));
    field.map_or_else(|| json!({}), |field| json!({field.json_name(): value(&field, 1)}))
}

/// A query that shows what can be asked.
fn sample_query(input: &MessageDescriptor, binding: &Binding) -> String {
    let mut pairs = Vec::new();
    for field in input.fields().filter(|field| !in_path(input, binding, field.json_name())) {
        match field.name() {
            "search" => pairs.push(format!("{}=teapot", field.json_name())),
            "page_size" => pairs.push(format!("{}=20", field.json_name())),
            _ => {}
        }
    }
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// The path with its variables filled in.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push_str(ID);
        rest = after.split_once('}').map_or("", |(_, rest)| rest);
    }
    filled + rest
}

/// A message with what a caller would set: of an entity only what must be there.
fn object(message: &MessageDescriptor, depth: usize) -> Value {
    let entity = annotations::entity(message).is_some();
    let mut members = Map::new();
    for field in message.fields() {
        let options = annotations::field(&field);
        let rules = options.rules.unwrap_or_default();
        let given = options.key || options.stamp() != Stamp::Unspecified;
        let optional = rules.gte.is_some() && field.name() == "stock";
        let skip = matches!(field.name(), "update_mask" | "page_token" | "old_price")
            || field.supports_presence() && !matches!(field.kind(), Kind::Message(_));
        if entity && (given && depth > 0 || !rules.required && !optional) || skip {
            continue;
        }
        members.insert(field.json_name().to_owned(), value(&field, depth + 1));
    }
    Value::Object(members)
}

fn value(field: &FieldDescriptor, depth: usize) -> Value {
    let one = single(field, depth);
    if field.cardinality() == Cardinality::Repeated && !field.is_map() { json!([one]) } else { one }
}

fn single(field: &FieldDescriptor, depth: usize) -> Value {
    let rules = annotations::field(field).rules.unwrap_or_default();
    match field.kind() {
        Kind::Message(message) if message.full_name() == "google.protobuf.Timestamp" => {
            json!("2026-11-21T07:00:00Z")
        }
        Kind::Message(message) if message.full_name().starts_with("artel.") && depth < MAX_DEPTH => {
            object(&message, depth)
        }
        Kind::Message(_) => json!({}),
        Kind::Bool => json!(true),
        Kind::Enum(choices) => json!(choices.values().nth(1).map(|value| value.name().to_owned())),
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => json!("12900"),
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => match field.name() {
            "stock" => json!(10),
            "page_size" => json!(20),
            _ => json!(rules.gte.unwrap_or(0).max(1)),
        },
        Kind::Double | Kind::Float => json!(1.5),
        Kind::Bytes => json!(""),
        Kind::String => json!(text(field.name(), rules.format())),
    }
}

fn text(name: &str, format: Format) -> &'static str {
    match (format, name) {
        (Format::Uuid, _) => ID,
        (Format::Email, _) => "anna@example.com",
        (Format::Url, _) => "https://example.com/teapot.jpg",
        (Format::Currency, _) => "RUB",
        (Format::Locale, _) => "ru",
        (_, "password") => "correct horse battery",
        (_, "display_name") => "Anna",
        (_, "name") => "Teapot",
        (_, "search") => "teapot",
        (_, "vendor") => "Ozero",
        (_, "order_by") => "price",
        (_, "role") => "catalog_editor",
        (_, "refresh_token") => "the last one",
        (_, "idempotency_key") => "basket-17",
        (_, "entity") => "artel.order.v1.Order",
        (_, name) if name == "id" || name.ends_with("_id") || name == "ids" => ID,
        _ => "text",
    }
}
