//! Reads JSON bodies against the contracts before they are transcoded. Envoy's transcoder drops fields that it does not
//! know without a word and stops at the first wrong type; this names every wrong field.

use std::collections::HashMap;

use artel_proto::validate;
use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::FieldViolation;

use crate::surface::Surface;

/// The name under which Envoy says which body a request has.
pub const SUBJECT: &str = "artel.body";

/// No more wrong fields than this are named.
const MAX_VIOLATIONS: usize = 20;

/// The body of a method's `index`th REST path.
#[must_use]
pub fn subject(method: &str, index: usize) -> String {
    format!("{method}#{index}")
}

/// The shape of every JSON body.
#[derive(Debug)]
pub struct Bodies {
    shapes: HashMap<String, Shape>,
}

/// What a body must look like.
#[derive(Debug)]
struct Shape {
    /// What stands before the names of fields: the field that the body fills, if it is not the whole request.
    prefix: String,
    kind: Body,
}

#[derive(Debug)]
enum Body {
    Message(MessageDescriptor),
    Field(FieldDescriptor),
}

impl Bodies {
    /// The shapes of all JSON bodies.
    #[must_use]
    pub fn read(surface: &Surface, pool: &DescriptorPool) -> Self {
        let mut shapes = HashMap::new();
        for method in surface.methods.iter().filter(|method| !method.streaming) {
            let Some((service, name)) = method.full_name.rsplit_once('.') else { continue };
            let Some(service) = pool.get_service_by_name(service) else { continue };
            let Some(found) = service.methods().find(|found| found.name() == name) else { continue };
            for (index, binding) in method.bindings.iter().enumerate() {
                let shape = match binding.body.as_str() {
                    "" => None,
                    "*" => Some(Shape { prefix: String::new(), kind: Body::Message(found.input()) }),
                    field => found.input().get_field_by_name(field).map(|field| Shape {
                        prefix: field.json_name().to_owned(),
                        kind: Body::Field(field),
                    }),
                };
                shapes.extend(shape.map(|shape| (subject(&method.full_name, index), shape)));
            }
        }
        Self { shapes }
    }

    /// What is wrong with a body; nothing where the subject is not known. An empty body is an empty message.
    #[must_use]
    pub fn problems(&self, subject: &str, body: &[u8]) -> Vec<FieldViolation> {
        let Some(shape) = self.shapes.get(subject) else { return Vec::new() };
        if body.is_empty() {
            return Vec::new();
        }
        let mut check = Check { path: shape.prefix.clone(), violations: Vec::new() };
        match serde_json::from_slice::<Value>(body) {
            Err(error) => check.wrong(format!("is not JSON: {error}")),
            Ok(value) => match &shape.kind {
                Body::Message(message) => check.message(&value, message),
                Body::Field(field) => check.field(&value, field),
            },
        }
        check.violations
    }
}

/// The answer to a body with something wrong: `google.rpc.Status` in JSON.
#[must_use]
pub fn answer(violations: Vec<FieldViolation>) -> String {
    let fields: Vec<Value> = violations
        .iter()
        .map(|violation| json!({"field": violation.field, "description": violation.description}))
        .collect();
    let status = validate::invalid(violations);
    let details = json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": fields});
    json(status.code(), "INVALID_FIELDS", status.message(), Some(details))
}

/// The answer to a body of more than `most` bytes.
#[must_use]
pub fn too_large(most: u32) -> String {
    json(
        Code::ResourceExhausted,
        "REQUEST_TOO_LARGE",
        &format!("The request is larger than {most} bytes."),
        None,
    )
}

fn json(code: Code, reason: &str, message: &str, more: Option<Value>) -> String {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "artel",
        "metadata": {},
    });
    let details: Vec<Value> = [info].into_iter().chain(more).collect();
    json!({"code": code as i32, "message": message, "details": details}).to_string()
}

/// The walk over a body: where it is, and what it found.
struct Check {
    path: String,
    violations: Vec<FieldViolation>,
}

impl Check {
    fn wrong(&mut self, description: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            let field = if self.path.is_empty() { "body" } else { &self.path };
            self.violations.push(FieldViolation::new(field, description));
        }
    }

    fn at(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.path.is_empty() && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        inside(self);
        self.path.truncate(length);
    }

    fn message(&mut self, value: &Value, message: &MessageDescriptor) {
        if let Some(well_known) = WellKnown::of(message) {
            return self.well_known(value, &well_known);
        }
        let Value::Object(members) = value else {
            return self.wrong(format!("must be an object, is {}", name_of(value)));
        };
        for (name, value) in members {
            let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
            match field {
                Some(field) => {
                    let json_name = field.json_name().to_owned();
                    self.at(&json_name, |check| check.field(value, &field));
                }
                None => self.at(name, |check| check.wrong(unknown(name, message))),
            }
        }
    }

    fn field(&mut self, value: &Value, field: &FieldDescriptor) {
        if value.is_null() {
            return;
        }
        if field.is_map() {
            let Value::Object(members) = value else {
                return self.wrong(format!("must be an object, is {}", name_of(value)));
            };
            let Kind::Message(entry) = field.kind() else { return };
            for (key, value) in members {
                self.at(key, |check| check.single(value, &entry.map_entry_value_field().kind()));
            }
        } else if field.cardinality() == Cardinality::Repeated {
            let Value::Array(items) = value else {
                return self.wrong(format!("must be an array, is {}", name_of(value)));
            };
            for (index, item) in items.iter().enumerate() {
                self.at(&format!("[{index}]"), |check| check.single(item, &field.kind()));
            }
        } else {
            self.single(value, &field.kind());
        }
    }

    fn single(&mut self, value: &Value, kind: &Kind) {
        match kind {
            Kind::Message(message) => self.message(value, message),
            Kind::Enum(choices) => self.choice(value, choices),
            Kind::String | Kind::Bytes if value.is_string() => {}
            Kind::String | Kind::Bytes => self.wrong(format!("must be a string, is {}", name_of(value))),
            Kind::Bool if value.is_boolean() => {}
            Kind::Bool => self.wrong(format!("must be true or false, is {}", name_of(value))),
            Kind::Double | Kind::Float => {
                if !value.is_number() && value.as_str().is_none_or(|text| text.parse::<f64>().is_err()) {
                    self.wrong(format!("must be a number, is {}", name_of(value)));
                }
            }
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                self.whole(value, i32::MIN.into(), i32::MAX.into())
            }
            Kind::Uint32 | Kind::Fixed32 => self.whole(value, 0, u32::MAX.into()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                self.whole(value, i64::MIN.into(), i64::MAX.into())
            }
            Kind::Uint64 | Kind::Fixed64 => self.whole(value, 0, u64::MAX.into()),
        }
    }

    /// A whole number, as JSON writes them: a number, or a string where it may be too large for one.
    fn whole(&mut self, value: &Value, least: i128, greatest: i128) {
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return self.wrong(format!("must be a whole number, is {}", name_of(value))),
        };
        // 5.0 and 1e3 are whole, too; beyond 2^53 a float is not to be trusted.
        let float = || text.parse::<f64>().ok().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
        #[allow(clippy::cast_possible_truncation)]
        let number = text.parse::<i128>().ok().or_else(|| float().map(|float| float as i128));
        match number {
            None => {
                let shown: String = text.chars().take(40).collect();
                self.wrong(format!("must be a whole number, is {shown}"));
            }
            Some(number) if !(least..=greatest).contains(&number) => {
                self.wrong(format!("must be {least} to {greatest}, is {number}"));
            }
            Some(_) => {}
        }
    }

    fn choice(&mut self, value: &Value, choices: &EnumDescriptor) {
        let known = match value {
            Value::String(name) => choices.get_value_by_name(name).is_some(),
            Value::Number(number) => number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .is_some_and(|number| choices.get_value(number).is_some()),
            _ => false,
        };
        if !known {
            let names: Vec<_> = choices.values().map(|value| value.name().to_owned()).collect();
            self.wrong(format!("must be one of {}, is {}", names.join(", "), shown(value)));
        }
    }

    fn well_known(&mut self, value: &Value, known: &WellKnown) {
        match known {
            WellKnown::Any => {}
            WellKnown::Text(_) if value.is_string() => {}
            WellKnown::Text(what) => self.wrong(format!("must be {what}, is {}", name_of(value))),
            WellKnown::Wrapped(kind) => self.single(value, kind),
        }
    }
}

/// Messages that JSON writes in a form of their own.
enum WellKnown {
    /// Any JSON at all.
    Any,
    /// A string.
    Text(&'static str),
    /// The value alone.
    Wrapped(Kind),
}

impl WellKnown {
    fn of(message: &MessageDescriptor) -> Option<Self> {
        let name = message.full_name().strip_prefix("google.protobuf.")?;
        Some(match name {
            "Timestamp" => Self::Text("a time such as \"2026-11-21T07:00:00Z\""),
            "Duration" => Self::Text("a duration such as \"1.5s\""),
            "FieldMask" => Self::Text("field names with commas such as \"name,price\""),
            wrapper if wrapper.ends_with("Value") && wrapper != "Value" && wrapper != "ListValue" => {
                Self::Wrapped(message.get_field(1)?.kind())
            }
            _ => Self::Any,
        })
    }
}

fn unknown(name: &str, message: &MessageDescriptor) -> String {
    let fields: Vec<_> = message.fields().map(|field| field.json_name().to_owned()).collect();
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let close = fields.iter().find(|field| distance(&plain(field), &plain(name)) <= 2);
    match close {
        Some(field) => format!("is not a field of {}; did you mean {field}?", message.name()),
        None if fields.is_empty() => format!("is not a field of {}, which has none", message.name()),
        None => format!("is not a field of {}; it has {}", message.name(), fields.join(", ")),
    }
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(100).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let here = (corner + usize::from(from != *to)).min(row[j] + 1).min(row[j + 1] + 1);
            corner = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(40).collect(),
        Value::Number(number) => number.to_string(),
        other => name_of(other).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use artel_proto::annotations::pool;

    use super::*;

    fn problems(method: &str, body: &str) -> Vec<(String, String)> {
        let surface = Surface::read(pool()).unwrap();
        let violations = Bodies::read(&surface, pool()).problems(&subject(method, 0), body.as_bytes());
        violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
    }

    fn fields(method: &str, body: &str) -> Vec<String> {
        problems(method, body).into_iter().map(|(field, _)| field).collect()
    }

    const CREATE_ORDER: &str = "artel.order.v1.OrderService.CreateOrder";
    const CREATE_PRODUCT: &str = "artel.catalog.v1.CatalogService.CreateProduct";

    #[test]
    fn right_bodies_pass() {
        for body in [
            "",
            "{}",
            r#"{"items": [{"productId": "a", "quantity": 2}], "idempotencyKey": "k"}"#,
            r#"{"items": [{"product_id": "a", "quantity": "2"}], "idempotencyKey": null}"#,
            r#"{"items": [{"quantity": 2.0}]}"#,
        ] {
            assert_eq!(problems(CREATE_ORDER, body), [], "{body}");
        }
        let product = r#"{"name": "x", "price": {"amountMinor": "12900", "currency": "RUB"}, "pictures": ["a"],
            "createTime": "2026-11-21T07:00:00Z", "stock": 5}"#;
        assert_eq!(problems(CREATE_PRODUCT, product), []);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let body = r#"{"items": [{"productId": 5, "quantiy": 1}, {"quantity": 1.5}, 7], "idempotency": "k", "x": 1}"#;
        let found = problems(CREATE_ORDER, body);
        let named: Vec<_> = found.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            named,
            ["idempotency", "items[0].productId", "items[0].quantiy", "items[1].quantity", "items[2]", "x"]
        );
        assert!(found[2].1.ends_with("did you mean quantity?"), "{}", found[2].1);
        assert_eq!(found[5].1, "is not a field of CreateOrderRequest; it has items, idempotencyKey");
        assert_eq!(found[3].1, "must be a whole number, is 1.5");
    }

    #[test]
    fn a_body_that_fills_a_field_is_named_by_it() {
        let body = r#"{"nmae": "x", "price": {"amountMinor": 1e30}, "pictures": "a", "stock": 3000000000}"#;
        assert_eq!(
            fields(CREATE_PRODUCT, body),
            ["product.nmae", "product.pictures", "product.price.amountMinor", "product.stock"]
        );
    }

    #[test]
    fn what_is_no_object_is_refused_as_a_whole() {
        for body in ["[]", "5", "\"x\"", "{", "a=b", "{\"items\": []} {}"] {
            assert_eq!(fields(CREATE_ORDER, body), ["body"], "{body}");
        }
    }

    #[test]
    fn a_body_nested_without_end_is_refused_and_does_not_end_us() {
        let body = "{\"items\":".to_owned() + &"[".repeat(100_000);
        assert_eq!(fields(CREATE_ORDER, &body), ["body"]);
    }
}
