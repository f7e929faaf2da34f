//! Compares JSON and queries with what the contracts say, field by field.

use std::collections::HashSet;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;
use tonic_types::FieldViolation;

/// No more wrong fields than this are named.
const MAX_VIOLATIONS: usize = 20;

/// The walk over a request: where it is, and what it found.
#[derive(Debug, Default)]
pub struct Check {
    path: String,
    violations: Vec<FieldViolation>,
}

impl Check {
    /// What it found.
    pub fn into_violations(self) -> Vec<FieldViolation> {
        self.violations
    }

    /// Notes that what is here is wrong.
    pub fn wrong(&mut self, description: impl Into<String>) {
        if self.violations.len() < MAX_VIOLATIONS {
            let field = if self.path.is_empty() { "body" } else { &self.path };
            self.violations.push(FieldViolation::new(field, description));
        }
    }

    /// Goes to a field, an item (`[0]`) or a whole path from here, and back.
    pub fn at(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if !self.path.is_empty() && !name.is_empty() && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        inside(self);
        self.path.truncate(length);
    }

    /// A parameter of a query: a field of the message, or a field of its field, `product.name`.
    pub fn parameter(&mut self, name: &str, values: &[String], message: &MessageDescriptor) {
        let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
        let field = message.get_field_by_json_name(first).or_else(|| message.get_field_by_name(first));
        let Some(field) = field else {
            return self.at(first, |check| check.wrong(unknown(first, message)));
        };
        let json_name = field.json_name().to_owned();
        self.at(&json_name, |check| match (rest, field.kind()) {
            (Some(rest), Kind::Message(inner)) if !field.is_list() && !field.is_map() => {
                check.parameter(rest, values, &inner);
            }
            (Some(_), _) => check.wrong("has no fields"),
            (None, Kind::Message(inner)) if field.is_map() || WellKnown::of(&inner).is_none() => {
                check.wrong("cannot stand in a query as a whole: name its fields");
            }
            (None, _) if !field.is_list() && values.len() > 1 => check.wrong("stands there more than once"),
            (None, kind) => {
                for value in values {
                    check.single(&as_json(value, &kind), &kind);
                }
            }
        });
    }

    /// A JSON object.
    pub fn message(&mut self, value: &Value, message: &MessageDescriptor) {
        if let Some(well_known) = WellKnown::of(message) {
            return self.well_known(value, &well_known);
        }
        let Value::Object(members) = value else {
            return self.wrong(format!("must be an object, is {}", name_of(value)));
        };
        let mut seen = HashSet::new();
        for (name, value) in members {
            let field = message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name));
            match field {
                Some(field) => {
                    let json_name = field.json_name().to_owned();
                    let again = !seen.insert(field.number());
                    self.at(&json_name, |check| match again {
                        true => check.wrong(format!("stands there more than once, also as {}", field.name())),
                        false => check.field(value, &field),
                    });
                }
                None => self.at(name, |check| check.wrong(unknown(name, message))),
            }
        }
    }

    /// The JSON value of a field.
    pub fn field(&mut self, value: &Value, field: &FieldDescriptor) {
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

/// A word of a query as the JSON that it stands for.
fn as_json(text: &str, kind: &Kind) -> Value {
    let wrapped = match kind {
        Kind::Message(message) => match WellKnown::of(message) {
            Some(WellKnown::Wrapped(kind)) => Some(kind),
            _ => None,
        },
        _ => None,
    };
    match (wrapped.as_ref().unwrap_or(kind), text) {
        (Kind::Bool, "true") => Value::Bool(true),
        (Kind::Bool, "false") => Value::Bool(false),
        (Kind::Enum(_), _) => match text.parse::<i32>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
        _ => text.into(),
    }
}
