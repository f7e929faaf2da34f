//! Writes the checks that a request runs on itself, from the field rules.

use std::fmt::Write as _;

use anyhow::Result;
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};

use super::annotations::{Rules, rules, rust_path};

/// `Validate` for a message. Answers are not checked: they were made by us, and the client's decoder sees them too.
pub fn implementation(message: &MessageDescriptor) -> Result<String> {
    let path = nested_path(message);
    let mut body = String::new();
    if !message.name().ends_with("Response") && message.full_name() != "google.api.HttpBody" {
        let partial = message.get_field_by_name("update_mask").is_some();
        for field in message.fields() {
            write!(body, "{}", check(&field, partial)?)?;
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            for field in
                oneof.fields().filter(|field| matches!(field.kind(), Kind::Message(m) if is_ours(&m)))
            {
                writeln!(
                    body,
                    "        if let Some({}::{}(value)) = &self.{} {{ check.nested({:?}, value); }}",
                    oneof_path(message, oneof.name()),
                    pascal(field.name()),
                    raw(oneof.name()),
                    field.json_name(),
                )?;
            }
        }
    }
    let check = if body.is_empty() { "_" } else { "check" };
    Ok(format!(
        "
impl crate::validate::Validate for {path} {{
    fn validate(&self, {check}: &mut crate::validate::Check) {{
{body}    }}
}}
"
    ))
}

fn check(field: &FieldDescriptor, partial: bool) -> Result<String> {
    let rules = rules(field);
    let (name, json) = (raw(field.name()), field.json_name().to_owned());
    let mut rust = String::new();
    if field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic()) || field.is_map() {
        return Ok(rust);
    }
    let args = literal(&rules);
    if field.is_list() {
        writeln!(rust, "        check.items({json:?}, self.{name}.len(), &{args});")?;
        let each = match field.kind() {
            Kind::String => Some(format!("check.text(\"\", value, &{args})")),
            Kind::Message(inner) if is_ours(&inner) => Some("check.inside(value)".to_owned()),
            _ => None,
        };
        if let Some(each) = each {
            writeln!(
                rust,
                "        for (index, value) in self.{name}.iter().enumerate() {{ check.at({json:?}, index, |check| {each}); }}"
            )?;
        }
        return Ok(rust);
    }
    let optional = field.cardinality() == Cardinality::Optional && field.supports_presence();
    match field.kind() {
        Kind::Message(inner) => {
            if rules.required {
                writeln!(rust, "        check.present({json:?}, self.{name}.is_some());")?;
            }
            if is_ours(&inner) {
                let nested = if partial { "nested_partially" } else { "nested" };
                writeln!(
                    rust,
                    "        if let Some(value) = &self.{name} {{ check.{nested}({json:?}, value); }}"
                )?;
            }
        }
        Kind::String if optional => {
            writeln!(
                rust,
                "        if let Some(value) = &self.{name} {{ check.text({json:?}, value, &{args}); }}"
            )?;
        }
        Kind::String => writeln!(rust, "        check.text({json:?}, &self.{name}, &{args});")?,
        Kind::Bytes if !optional => writeln!(rust, "        check.bytes({json:?}, &self.{name}, &{args});")?,
        Kind::Int32 | Kind::Int64 if optional => {
            writeln!(
                rust,
                "        if let Some(value) = self.{name} {{ check.number({json:?}, i64::from(value), &{args}); }}"
            )?;
        }
        Kind::Int32 | Kind::Int64 => {
            writeln!(rust, "        check.number({json:?}, i64::from(self.{name}), &{args});")?;
        }
        Kind::Enum(inner) => {
            let path = rust_path(inner.package_name(), inner.name());
            writeln!(
                rust,
                "        check.choice({json:?}, self.{name}, {path}::is_valid(self.{name}), &{args});"
            )?;
        }
        _ => {}
    }
    Ok(rust)
}

fn literal(rules: &Rules) -> String {
    format!(
        "crate::validate::Rules {{ required: {}, min_len: {}, max_len: {}, gte: {:?}, lte: {:?}, min_items: {}, max_items: {}, format: crate::validate::Format::{} }}",
        rules.required,
        rules.min_len,
        rules.max_len,
        rules.gte,
        rules.lte,
        rules.min_items,
        rules.max_items,
        if rules.format.is_empty() { "Text" } else { &rules.format },
    )
}

fn is_ours(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("artel.")
}

/// A message inside another lives in a module named for the outer one.
fn nested_path(message: &MessageDescriptor) -> String {
    match message.parent_message() {
        Some(parent) => {
            let outer = nested_path(&parent);
            let (module, name) = outer.rsplit_once("::").unwrap_or(("", &outer));
            format!("{module}::{}::{}", snake(name), message.name())
        }
        None => rust_path(message.package_name(), message.name()),
    }
}

fn oneof_path(message: &MessageDescriptor, oneof: &str) -> String {
    let path = nested_path(message);
    let (module, name) = path.rsplit_once("::").unwrap_or(("", &path));
    format!("{module}::{}::{}", snake(name), pascal(oneof))
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn pascal(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
                .unwrap_or_default()
        })
        .collect()
}

/// Field names that are Rust keywords are written raw by prost.
fn raw(name: &str) -> String {
    match name {
        "type" | "where" | "use" | "match" | "ref" | "as" | "in" | "loop" | "move" => format!("r#{name}"),
        _ => name.to_owned(),
    }
}
