//! One operation: a method at one of its REST paths.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{TOKEN, answers};
use crate::comments;
use crate::example;
use crate::model::{Access, Binding, Method, Service};
use crate::schema::{Schemas, Way};

/// The operation of a method's `index`th path.
pub fn build(schemas: &mut Schemas, service: &Service, method: &Method, index: usize) -> Value {
    let binding = &method.bindings[index];
    let name = service.full_name.rsplit('.').next().unwrap_or_default();
    let further = if index == 0 { String::new() } else { (index + 1).to_string() };
    let mut operation = json!({
        "operationId": format!("{name}_{}{further}", method.name),
        "tags": [service.name],
        "summary": first_sentence(&method.comment),
        "description": description(method),
        "security": security(&method.access),
        "responses": answers::build(schemas, method, binding),
        "x-grpc-method": format!("{}/{}", service.full_name, method.name),
        "x-idempotent": method.idempotent,
    });
    let parameters = parameters(schemas, method, binding);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body(schemas, method, binding) {
        operation["requestBody"] = body;
    }
    if let Access::Role(role) = &method.access {
        operation["x-role"] = json!(role);
    }
    if method.deprecated {
        operation["deprecated"] = json!(true);
    }
    operation
}

fn first_sentence(comment: &str) -> &str {
    let end = comment.find(". ").or_else(|| comment.find('.')).unwrap_or(comment.len());
    &comment[..end]
}

fn description(method: &Method) -> String {
    let mut words = vec![method.comment.clone()];
    words.push(match &method.access {
        Access::Public => "Anybody may call this.".to_owned(),
        Access::SignedIn => "Whoever is signed in may call this.".to_owned(),
        Access::Role(role) => format!("Only who has the role `{role}` may call this."),
        Access::Internal => "Only services may call this.".to_owned(),
    });
    if method.idempotent {
        words.push("Safe to repeat: the same request twice has the effect of one.".to_owned());
    }
    if method.streams_in {
        words.push("The body may be of any length; it is read as it comes.".to_owned());
    }
    if method.streams_out {
        words.push(
            "The answer is a stream: one JSON document a line, each as soon as it is there.".to_owned(),
        );
    }
    words.join("\n\n")
}

/// For a scheme other than OAuth the list holds the roles that it takes.
fn security(access: &Access) -> Value {
    match access {
        Access::Public | Access::Internal => json!([]),
        Access::SignedIn => json!([{TOKEN: []}]),
        Access::Role(role) => json!([{TOKEN: [role]}]),
    }
}

/// What stands in the path and in the query.
fn parameters(schemas: &mut Schemas, method: &Method, binding: &Binding) -> Vec<Value> {
    let input = method.descriptor.input();
    let mut parameters = Vec::new();
    for path in example::variables(&binding.path) {
        let Some(field) = field_at(&input, &path) else { continue };
        let mut schema = schemas.field(&field, Way::In);
        let words = take_description(&mut schema);
        // Who is in the path is said, whatever the field's own rule.
        schema["minLength"] = json!(1);
        parameters.push(json!({
            "name": path, "in": "path", "required": true, "description": words, "schema": schema,
            "example": example::of(&field),
        }));
    }
    if binding.body == "*" {
        return parameters;
    }
    for field in input.fields() {
        let name = field.name();
        if field.json_name() != binding.body && !example::in_path(&binding.path, name) {
            query(schemas, &field, "", &mut parameters);
        }
    }
    parameters
}

/// A field in the query; those of a message each by its path.
fn query(schemas: &mut Schemas, field: &FieldDescriptor, above: &str, into: &mut Vec<Value>) {
    let name = format!("{above}{}", field.json_name());
    if let Kind::Message(message) = field.kind()
        && message.full_name().starts_with("artel.")
    {
        // A message in itself, or in a list, has no place in a query.
        if !field.is_list() && above.matches('.').count() < 3 {
            message.fields().for_each(|inner| query(schemas, &inner, &format!("{name}."), into));
        }
        return;
    }
    let mut schema = schemas.field(field, Way::In);
    let mut parameter = json!({
        "name": name, "in": "query", "description": take_description(&mut schema), "schema": schema,
    });
    if crate::schema::must_be_there(field, Way::In) {
        parameter["required"] = json!(true);
    }
    if field.is_list() {
        parameter["explode"] = json!(true);
    }
    if let Some(example) = example::in_query(field) {
        parameter["example"] = example;
    }
    into.push(parameter);
}

fn take_description(schema: &mut Value) -> Value {
    schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default()
}

/// What the request carries beside the path and the query.
fn body(schemas: &mut Schemas, method: &Method, binding: &Binding) -> Option<Value> {
    let input = method.descriptor.input();
    if binding.body.is_empty() {
        return None;
    }
    let (message, words) = match binding.body.as_str() {
        "*" => (input.clone(), comments::above(&input.parent_file(), input.path())),
        name => {
            let field = input.get_field_by_json_name(name)?;
            let words = comments::above(&input.parent_file(), field.path());
            let Kind::Message(message) = field.kind() else {
                let schema = schemas.field(&field, Way::In);
                return Some(
                    json!({"description": words, "content": {"application/json": {"schema": schema}}}),
                );
            };
            (message, words)
        }
    };
    if message.full_name() == "google.api.HttpBody" {
        let raw =
            json!({"description": words, "required": true, "content": {"application/octet-stream": {}}});
        return Some(raw);
    }
    let way = if input.get_field_by_name("update_mask").is_some() { Way::Change } else { Way::In };
    // What stands in the path must not stand in the body, too.
    let prefix =
        if binding.body == "*" { String::new() } else { format!("{}.", input_name(&input, binding)) };
    let in_path = example::variables(&binding.path);
    let without: Vec<&str> = in_path.iter().filter_map(|path| path.strip_prefix(prefix.as_str())).collect();
    let schema = if without.is_empty() {
        schemas.message(&message, way)
    } else {
        schemas.object(&message, way, &without)
    };
    let mut content = Map::new();
    content.insert("schema".to_owned(), schema);
    if let Some(example) = example::request_body(&method.descriptor, binding) {
        content.insert("example".to_owned(), example);
    }
    let required = way == Way::In
        && message.fields().any(|it| !without.contains(&it.name()) && crate::schema::must_be_there(&it, way));
    Some(json!({"description": words, "required": required, "content": {"application/json": content}}))
}

/// The proto name of the field that is the body.
fn input_name(input: &MessageDescriptor, binding: &Binding) -> String {
    input.get_field_by_json_name(&binding.body).map(|field| field.name().to_owned()).unwrap_or_default()
}

/// The field that a path such as `product.id` names.
fn field_at(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((first, rest)) => match message.get_field_by_name(first)?.kind() {
            Kind::Message(inner) => field_at(&inner, rest),
            _ => None,
        },
    }
}
