//! Writes what makes a message an entity or an event.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use prost_reflect::{Kind, MessageDescriptor};

use super::annotations::{Event, flag, rust_path};

/// `Entity`: its name, its key, and how fields of another value are taken over by mask.
pub fn entity(message: &MessageDescriptor) -> Result<String> {
    let path = rust_path(message.package_name(), message.name());
    let key = message
        .fields()
        .find(|field| flag(field, "key"))
        .with_context(|| format!("{} has no key field", message.full_name()))?;
    let mut take = String::new();
    let mut set = String::new();
    for field in message.fields() {
        let name = field.name();
        writeln!(take, "            {name:?} => self.{name}.clone_from(&from.{name}),")?;
        let present = if field.is_list() {
            format!("!self.{name}.is_empty()")
        } else if field.supports_presence() {
            format!("self.{name}.is_some()")
        } else {
            match field.kind() {
                Kind::String | Kind::Bytes => format!("!self.{name}.is_empty()"),
                Kind::Bool => format!("self.{name}"),
                Kind::Float | Kind::Double => format!("self.{name} != 0.0"),
                _ => format!("self.{name} != 0"),
            }
        };
        writeln!(set, "        if {present} {{ fields.push({name:?}); }}")?;
    }
    Ok(format!(
        "
impl crate::Entity for {path} {{
    const NAME: &'static str = {name:?};
    fn id(&self) -> &str {{ &self.{key} }}
    fn take(&mut self, from: &Self, field: &str) -> bool {{
        match field {{
{take}            _ => return false,
        }}
        true
    }}
    fn populated(&self) -> Vec<&'static str> {{
        let mut fields = Vec::new();
{set}        fields
    }}
}}
",
        name = message.full_name(),
        key = key.name(),
    ))
}

/// `Event`: its name, its type, and the entity it is about.
pub fn event(message: &MessageDescriptor, event: &Event) -> Result<String> {
    message
        .get_field_by_name(&event.key)
        .with_context(|| format!("{} has no field `{}` to be its key", message.full_name(), event.key))?;
    Ok(format!(
        "
impl crate::Event for {path} {{
    const NAME: &'static str = {name:?};
    const TYPE: &'static str = {full:?};
    fn key(&self) -> &str {{ &self.{key} }}
}}
",
        path = rust_path(message.package_name(), message.name()),
        name = event.name,
        full = message.full_name(),
        key = event.key,
    ))
}
