//! The fields of requests and answers, nested ones unfolded.

use artel_proto::annotations;
use artel_proto::options::{Format, Rules, Stamp};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use crate::comments;
use crate::model::{Binding, Field, Place};

/// Nested deeper than this, a message is only named.
const MAX_DEPTH: usize = 4;

/// Whether rules count: what comes out need not be checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// What a request holds, and where REST carries each.
pub fn request(message: &MessageDescriptor, binding: Option<&Binding>) -> Vec<Field> {
    let mut fields = Vec::new();
    for field in message.fields() {
        let place = match binding {
            Some(binding) if binding.path.contains(&format!("{{{}}}", field.name())) => Place::Path,
            Some(binding) if binding.body == "*" || binding.body == field.json_name() => Place::Body,
            Some(_) => Place::Query,
            None => Place::Body,
        };
        let before = fields.len();
        unfold(&field, "", place, &mut vec![message.full_name().to_owned()], Direction::In, &mut fields);
        // `/products/{product.id}`: one field of the body stands in the path.
        for nested in &mut fields[before..] {
            if binding.is_some_and(|binding| binding.path.contains(&format!("{{{}}}", nested.path))) {
                nested.place = Place::Path;
                nested.required = true;
            }
        }
    }
    fields
}

/// What an answer holds.
pub fn response(message: &MessageDescriptor) -> Vec<Field> {
    let mut fields = Vec::new();
    for field in message.fields() {
        let mut above = vec![message.full_name().to_owned()];
        unfold(&field, "", Place::Body, &mut above, Direction::Out, &mut fields);
    }
    fields
}

fn unfold(
    field: &FieldDescriptor,
    parent: &str,
    place: Place,
    above: &mut Vec<String>,
    direction: Direction,
    into: &mut Vec<Field>,
) {
    let options = annotations::field(field);
    let repeated = field.cardinality() == Cardinality::Repeated && !field.is_map();
    let path = if parent.is_empty() {
        field.json_name().to_owned()
    } else {
        format!("{parent}.{}", field.json_name())
    };
    let path = if repeated { format!("{path}[]") } else { path };
    let rules = options.rules.unwrap_or_default();
    let mut said = if direction == Direction::In { rules_in_words(&rules) } else { Vec::new() };
    if direction == Direction::In
        && (options.stamp() != Stamp::Unspecified || (options.key && above.len() > 1))
    {
        said = vec!["given by the service".to_owned()];
    }
    into.push(Field {
        path: path.clone(),
        depth: above.len() - 1,
        kind: kind_in_words(field),
        place,
        required: direction == Direction::In && (rules.required || rules.min_items > 0),
        rules: said,
        comment: comments::above(&field.parent_message().parent_file(), field.path()),
    });
    let Kind::Message(message) = field.kind() else { return };
    let ours = message.full_name().starts_with("artel.") && !field.is_map();
    let again = above.iter().any(|name| name == message.full_name());
    if ours && !again && above.len() < MAX_DEPTH {
        above.push(message.full_name().to_owned());
        for nested in message.fields() {
            unfold(&nested, &path, place, above, direction, into);
        }
        above.pop();
    }
}

/// A type as JSON has it.
fn kind_in_words(field: &FieldDescriptor) -> String {
    if field.is_map() {
        return "object".to_owned();
    }
    match field.kind() {
        Kind::Double | Kind::Float => "number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => "int32".to_owned(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            "int64, a string".to_owned()
        }
        Kind::Bool => "bool".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Bytes => "bytes, base64".to_owned(),
        Kind::Enum(choices) => {
            let names: Vec<_> = choices.values().skip(1).map(|value| value.name().to_owned()).collect();
            names.join(" | ")
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "time, RFC 3339".to_owned(),
            "google.protobuf.FieldMask" => "field names with commas".to_owned(),
            "google.api.HttpBody" => "the raw bytes".to_owned(),
            _ => message.name().to_owned(),
        },
    }
}

fn rules_in_words(rules: &Rules) -> Vec<String> {
    let mut words = Vec::new();
    match (rules.min_len, rules.max_len) {
        (0, 0) => {}
        (0, most) => words.push(format!("at most {most} characters")),
        (least, 0) => words.push(format!("at least {least} characters")),
        (least, most) => words.push(format!("{least} to {most} characters")),
    }
    match (rules.gte, rules.lte) {
        (None, None) => {}
        (None, Some(most)) => words.push(format!("at most {most}")),
        (Some(least), None) => words.push(format!("at least {least}")),
        (Some(least), Some(most)) => words.push(format!("{least} to {most}")),
    }
    match (rules.min_items, rules.max_items) {
        (0, 0) => {}
        (0, most) => words.push(format!("at most {most} items")),
        (least, 0) => words.push(format!("at least {least} items")),
        (least, most) => words.push(format!("{least} to {most} items")),
    }
    let format = match rules.format() {
        Format::Unspecified => None,
        Format::Uuid => Some("a UUID"),
        Format::Email => Some("an e-mail address"),
        Format::Url => Some("an http or https URL"),
        Format::Currency => Some("three capital letters"),
        Format::Locale => Some("ru, kk or en"),
        Format::Any => Some("any characters"),
    };
    words.extend(format.map(str::to_owned));
    words
}
