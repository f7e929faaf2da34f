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
    let body = request_body(method, binding);
    parts.push(format!("'{ADDRESS}{}{}'", filled(&binding.path), query(method, binding)));
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
                members.retain(|name, _| !named_in_path(input, binding, name));
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

/// A call with JavaScript, in a browser or in Node.
pub fn javascript(method: &MethodDescriptor, binding: &Binding, access: &Access) -> String {
    let body = if method.is_client_streaming() { None } else { request_body(method, binding) };
    let mut headers = Vec::new();
    if *access != Access::Public {
        headers.push("authorization: `Bearer ${token}`");
    }
    if method.is_client_streaming() {
        headers.push("\"content-type\": \"application/xml\"");
    } else if body.is_some() {
        headers.push("\"content-type\": \"application/json\"");
    }
    let mut options = Vec::new();
    if binding.verb != "GET" {
        options.push(format!("method: \"{}\"", binding.verb));
    }
    if !headers.is_empty() {
        options.push(format!("headers: {{ {} }}", headers.join(", ")));
    }
    if method.is_client_streaming() {
        options.push("body: file".to_owned());
    } else if let Some(body) = body {
        let pretty = serde_json::to_string_pretty(&body).unwrap_or_default().replace('\n', "\n  ");
        options.push(format!("body: JSON.stringify({pretty})"));
    }
    let url = format!("{ADDRESS}{}{}", filled(&binding.path), query(method, binding));
    let call = if options.is_empty() {
        format!("const answer = await fetch(\"{url}\");")
    } else {
        format!("const answer = await fetch(\"{url}\", {{\n  {},\n}});", options.join(",\n  "))
    };
    format!("{call}\nconst data = await answer.json();\nif (!answer.ok) throw new Error(data.message);")
}

/// The body that a call of this path may have.
pub fn request_body(method: &MethodDescriptor, binding: &Binding) -> Option<Value> {
    body(&method.input(), binding, method.input().get_field_by_name("update_mask").is_some())
}

/// The query that a call of this path may have, with its question mark; empty for none.
fn query(method: &MethodDescriptor, binding: &Binding) -> String {
    let input = method.input();
    let masked = input.get_field_by_name("update_mask").is_some();
    match request_body(method, binding) {
        Some(Value::Object(members)) if masked => {
            format!("?updateMask={}", members.keys().cloned().collect::<Vec<_>>().join(","))
        }
        _ if binding.verb == "GET" => sample_query(&input, binding),
        _ => String::new(),
    }
}

/// An answer, with everything that it may hold.
pub fn answer(message: &MessageDescriptor) -> Value {
    full(message, &mut Vec::new())
}

fn full(message: &MessageDescriptor, above: &mut Vec<String>) -> Value {
    above.push(message.full_name().to_owned());
    let mut members = Map::new();
    for field in message.fields() {
        // A message that holds itself ends with its first.
        let again = |inner: &MessageDescriptor| above.iter().any(|name| name == inner.full_name());
        let one = match field.kind() {
            Kind::Message(inner) if inner.full_name().starts_with("artel.") => {
                (!again(&inner)).then(|| full(&inner, above))
            }
            _ => Some(single(&field, 0)),
        };
        let value = match one {
            Some(one) if field.is_list() => json!([one]),
            Some(one) if field.is_map() => json!({"key": one}),
            Some(one) => one,
            None if field.is_list() => json!([]),
            None => continue,
        };
        members.insert(field.json_name().to_owned(), value);
    }
    above.pop();
    Value::Object(members)
}

/// One value of a field.
pub fn of(field: &FieldDescriptor) -> Value {
    single(field, 0)
}

/// What a query shows of a field, where it shows anything.
pub fn in_query(field: &FieldDescriptor) -> Option<Value> {
    match field.name() {
        "search" => Some(json!("teapot")),
        "page_size" => Some(json!(20)),
        _ => None,
    }
}

/// The variables of a path, by the paths of their fields: `product.id`.
pub fn variables(path: &str) -> Vec<String> {
    let parts = path.split('{').skip(1).filter_map(|part| part.split_once('}'));
    parts.map(|(variable, _)| variable.split('=').next().unwrap_or_default().to_owned()).collect()
}

/// A path with nothing but names in its braces.
pub fn template(path: &str) -> String {
    let mut plain = String::new();
    for (index, part) in path.split('{').enumerate() {
        match part.split_once('}') {
            Some((variable, rest)) if index > 0 => {
                plain.push_str(&format!("{{{}}}{rest}", variable.split('=').next().unwrap_or_default()));
            }
            _ => plain.push_str(part),
        }
    }
    plain
}

/// Whether a field (proto name) stands in the path.
pub fn in_path(path: &str, name: &str) -> bool {
    variables(path).iter().any(|variable| variable == name)
}

fn named_in_path(input: &MessageDescriptor, binding: &Binding, json_name: &str) -> bool {
    input.get_field_by_json_name(json_name).is_some_and(|field| in_path(&binding.path, field.name()))
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
    for field in input.fields().filter(|field| !in_path(&binding.path, field.name())) {
        if let Some(value) = in_query(&field) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.push(format!("{}={text}", field.json_name()));
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
        let needed = rules.required || rules.min_items > 0 || optional;
        if entity && (given && depth > 0 || !needed) || skip {
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
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
            json!(if field.name() == "version" { "1" } else { "12900" })
        }
        Kind::Int32 | Kind::Uint32 | Kind::Sint32 | Kind::Fixed32 | Kind::Sfixed32 => match field.name() {
            "stock" => json!(10),
            "page_size" => json!(20),
            "expires_in" => json!(900),
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
        (_, "number") => "A-4F9K2B7C",
        (_, "email") => "anna@example.com",
        (_, "currency") => "RUB",
        (_, "phone") => "+77011234567",
        (_, "code") => "123456",
        (_, "ru") => "Чайник",
        (_, "kk") => "Шәйнек",
        (_, "en") => "Teapot",
        (_, "unit") => "g",
        (_, "action") => "boil",
        (_, "locale") => "ru",
        (_, "access_token") => "eyJhbGciOiJFUzI1NiJ9…",
        (_, "next_page_token") => "",
        (_, "pictures" | "url") => "https://example.com/teapot.jpg",
        (_, "role") => "catalog_editor",
        (_, "refresh_token") => "the last one",
        (_, "idempotency_key") => "basket-17",
        (_, "entity") => "artel.order.v1.Order",
        (_, name) if name == "id" || name.ends_with("_id") || name == "ids" => ID,
        _ => "text",
    }
}
