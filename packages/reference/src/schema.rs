//! Messages as JSON Schema (2020-12), in the spelling of protobuf's JSON: what OpenAPI and AsyncAPI both refer to.

use std::collections::{BTreeMap, BTreeSet};

use artel_proto::annotations;
use artel_proto::options::{FieldOptions, Format, Rules, Stamp};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::comments;

/// Longest string of a request where no rule says otherwise, in characters.
const MAX_LEN: u32 = 10_000;
/// Most items of a request where no rule says otherwise.
const MAX_ITEMS: u32 = 1_000;

/// Which way a message goes: what comes out is not checked, what comes in is closed and has rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// In an answer or an event.
    Out,
    /// In a request.
    In,
    /// In a request that changes what is given and leaves the rest.
    Change,
}

/// The schemas that a document refers to, each made once.
pub struct Schemas {
    /// The full names of all messages that come out: in a request they have a second shape, and a name of its own.
    outward: BTreeSet<String>,
    names: BTreeMap<(String, Way), String>,
    schemas: BTreeMap<String, Value>,
}

impl Schemas {
    /// None yet. `answers` are the messages that come out.
    pub fn new(answers: impl IntoIterator<Item = MessageDescriptor>) -> Self {
        let mut outward = BTreeSet::new();
        answers.into_iter().for_each(|message| reach(&message, &mut outward));
        Self { outward, names: BTreeMap::new(), schemas: BTreeMap::new() }
    }

    /// All that were asked for, by name.
    pub fn into_components(self) -> Map<String, Value> {
        self.schemas.into_iter().collect()
    }

    /// The schema of a message: a reference for ours, the form that JSON gives them for well-known ones.
    pub fn message(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let name = self.name(message.full_name(), message.name(), way);
        if !self.schemas.contains_key(&name) {
            // A message may hold itself.
            self.schemas.insert(name.clone(), Value::Null);
            let mut schema = self.object(message, way, &[]);
            describe(&mut schema, &comments::above(&message.parent_file(), message.path()));
            self.schemas.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// A message's own object, without some of its fields (proto names).
    pub fn object(&mut self, message: &MessageDescriptor, way: Way, without: &[&str]) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            if must_be_there(&field, way) {
                required.push(field.json_name().to_owned());
            }
            properties.insert(field.json_name().to_owned(), self.field(&field, way));
        }
        let mut schema = json!({"type": "object"});
        if !properties.is_empty() {
            schema["properties"] = properties.into();
        }
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        if way != Way::Out {
            schema["additionalProperties"] = json!(false);
        }
        let choices: Vec<Value> = message
            .oneofs()
            .filter(|oneof| !oneof.is_synthetic())
            .map(|oneof| at_most_one(oneof.fields().map(|field| field.json_name().to_owned())))
            .collect();
        if !choices.is_empty() {
            schema["allOf"] = json!(choices);
        }
        schema
    }

    /// A field with what it means and may hold.
    pub fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        let options = annotations::field(field);
        let rules = options.rules.unwrap_or_default();
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return json!({}) };
            let values = self.single(&entry.map_entry_value_field(), &FieldOptions::default(), way);
            json!({"type": "object", "additionalProperties": values})
        } else if field.is_list() {
            let mut list = json!({"type": "array", "items": self.single(field, &options, way)});
            if way != Way::Out {
                list["maxItems"] = json!(if rules.max_items == 0 { MAX_ITEMS } else { rules.max_items });
                let least = rules.min_items.max(u32::from(rules.required));
                if way == Way::In && least > 0 {
                    list["minItems"] = json!(least);
                }
            }
            list
        } else {
            self.single(field, &options, way)
        };
        let mut words = comments::above(&field.parent_message().parent_file(), field.path());
        if is_wide(field) && (rules.gte.is_some() || rules.lte.is_some()) && way != Way::Out {
            // JSON Schema cannot bound a number that travels as a string.
            let bound =
                |bound: Option<i64>| bound.map_or_else(|| "any".to_owned(), |bound| bound.to_string());
            words = format!("{words} From {} to {}.", bound(rules.gte), bound(rules.lte));
        }
        describe(&mut schema, &words);
        if way != Way::Out && is_given(field, &options, way) {
            schema["readOnly"] = json!(true);
        }
        if way != Way::Out && options.secret {
            schema["writeOnly"] = json!(true);
        }
        if field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated()) {
            schema["deprecated"] = json!(true);
        }
        schema
    }

    /// One value of a field.
    fn single(&mut self, field: &FieldDescriptor, options: &FieldOptions, way: Way) -> Value {
        let rules = options.rules.unwrap_or_default();
        let checked = way != Way::Out;
        match field.kind() {
            Kind::Message(message) => self.message(&message, way),
            Kind::Enum(choices) => self.choice(&choices, checked && rules.required),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::String if checked => text(&rules, options.secret),
            Kind::String if options.key => json!({"type": "string", "format": "uuid"}),
            Kind::String => json!({"type": "string"}),
            _ if is_wide(field) => {
                let sign = if unsigned(field) || checked && rules.gte.is_some_and(|least| least >= 0) {
                    ""
                } else {
                    "-?"
                };
                json!({"type": "string", "format": "int64", "pattern": format!("^{sign}[0-9]{{1,20}}$")})
            }
            _ => {
                let mut number = json!({"type": "integer", "format": "int32"});
                if unsigned(field) {
                    number = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
                }
                if let Some(least) = rules.gte.filter(|_| checked) {
                    number["minimum"] = json!(least);
                }
                if let Some(greatest) = rules.lte.filter(|_| checked) {
                    number["maximum"] = json!(greatest);
                }
                number
            }
        }
    }

    /// A choice by name; what is not said may be sent only where it need not be said.
    fn choice(&mut self, choices: &EnumDescriptor, must_be_said: bool) -> Value {
        let name = self.name(choices.full_name(), choices.name(), Way::Out);
        let unsaid = choices.default_value();
        if !self.schemas.contains_key(&name) {
            let names: Vec<String> = choices.values().map(|value| value.name().to_owned()).collect();
            let file = choices.parent_file();
            let mut words = comments::above(&file, choices.path());
            for value in choices.values() {
                words.push_str(&format!(
                    "\n\n* `{}`: {}",
                    value.name(),
                    comments::above(&file, value.path())
                ));
            }
            self.schemas.insert(name.clone(), json!({"type": "string", "enum": names, "description": words}));
        }
        let mut schema = json!({"$ref": format!("#/components/schemas/{name}")});
        if must_be_said {
            schema["not"] = json!({"const": unsaid.name()});
        }
        schema
    }

    /// The name of a schema. Two messages of one name, of different domains, are told apart by their domain.
    fn name(&mut self, full_name: &str, short: &str, way: Way) -> String {
        let suffix = match way {
            Way::Out => "",
            Way::In if !self.outward.contains(full_name) => "",
            Way::In => "Input",
            Way::Change => "Change",
        };
        let way = if suffix.is_empty() { Way::Out } else { way };
        let key = (full_name.to_owned(), way);
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let mut name = format!("{short}{suffix}");
        if self.names.values().any(|taken| *taken == name) {
            let domain = full_name.split('.').nth(1).unwrap_or_default();
            name = format!("{}{name}", title(domain));
        }
        self.names.insert(key, name.clone());
        name
    }
}

/// `order` as a heading: `Order`.
pub fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

/// Whether the object is incomplete without the field. What comes out always has its plain values, empty or not.
pub fn must_be_there(field: &FieldDescriptor, way: Way) -> bool {
    let options = annotations::field(field);
    let rules = options.rules.unwrap_or_default();
    match way {
        Way::Out => !field.supports_presence() && field.containing_oneof().is_none(),
        Way::Change => false,
        Way::In => {
            // Zero is what a number that is not there counts as.
            let zero = rules.gte.is_none_or(|least| least <= 0) && rules.lte.is_none_or(|most| most >= 0);
            let number = matches!(field.kind(), Kind::Int32 | Kind::Int64) && !field.supports_presence();
            !is_given(field, &options, way)
                && (rules.required || rules.min_items > 0 || number && !field.is_list() && !zero)
        }
    }
}

/// What an entity's service fills in by itself, whatever the request says. A change may name the version it is of.
fn is_given(field: &FieldDescriptor, options: &FieldOptions, way: Way) -> bool {
    annotations::entity(field.parent_message()).is_some()
        && (options.key
            || !matches!(options.stamp(), Stamp::Unspecified | Stamp::Version)
            || options.stamp() == Stamp::Version && way == Way::In)
}

/// A string by its rules. An empty one counts as none, so what has a form has it or is left out.
fn text(rules: &Rules, secret: bool) -> Value {
    let mut schema = json!({"type": "string"});
    let least = rules.min_len.max(u32::from(rules.required));
    if least > 0 {
        schema["minLength"] = json!(least);
    }
    schema["maxLength"] = json!(if rules.max_len == 0 { MAX_LEN } else { rules.max_len });
    match rules.format() {
        Format::Unspecified if rules.required => schema["pattern"] = json!("\\S"),
        Format::Unspecified | Format::Any => {}
        Format::Uuid => schema["format"] = json!("uuid"),
        Format::Email => {
            schema["format"] = json!("idn-email");
            schema["pattern"] = json!("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$");
        }
        Format::Url => schema["pattern"] = json!("^https?://[^/\\s]\\S*$"),
        Format::Currency => schema["pattern"] = json!("^[A-Z]{3}$"),
        Format::Locale => schema["enum"] = json!(["ru", "kk", "en"]),
    }
    if secret {
        schema["format"] = json!("password");
    }
    schema
}

fn is_wide(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64)
}

fn unsigned(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64)
}

fn at_most_one(names: impl Iterator<Item = String>) -> Value {
    let each: Vec<Value> = names.map(|name| json!({"required": [name]})).collect();
    let none = json!({"not": {"anyOf": each}});
    json!({"oneOf": each.into_iter().chain([none]).collect::<Vec<_>>()})
}

/// Messages that JSON writes in a form of their own.
fn well_known(message: &MessageDescriptor) -> Option<Value> {
    Some(match message.full_name() {
        "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => json!({"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}),
        "google.protobuf.FieldMask" => {
            json!({"type": "string", "pattern": "^[A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*$"})
        }
        "google.protobuf.Empty" => json!({"type": "object", "additionalProperties": false}),
        "google.protobuf.Struct" => json!({"type": "object"}),
        "google.protobuf.ListValue" => json!({"type": "array"}),
        "google.protobuf.Any" => {
            json!({"type": "object", "properties": {"@type": {"type": "string"}}, "required": ["@type"]})
        }
        "google.protobuf.Value" | "google.api.HttpBody" => json!({}),
        "google.protobuf.StringValue" => json!({"type": "string"}),
        "google.protobuf.BytesValue" => json!({"type": "string", "contentEncoding": "base64"}),
        "google.protobuf.BoolValue" => json!({"type": "boolean"}),
        "google.protobuf.Int32Value" | "google.protobuf.UInt32Value" => json!({"type": "integer"}),
        "google.protobuf.Int64Value" | "google.protobuf.UInt64Value" => {
            json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,20}$"})
        }
        "google.protobuf.DoubleValue" | "google.protobuf.FloatValue" => json!({"type": "number"}),
        _ => return None,
    })
}

/// All messages in a message, itself among them.
fn reach(message: &MessageDescriptor, found: &mut BTreeSet<String>) {
    if found.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                reach(&inner, found);
            }
        }
    }
}

fn describe(schema: &mut Value, words: &str) {
    if !words.is_empty() {
        schema["description"] = json!(words);
    }
}
