//! Reads Artel's options off descriptors while the generated types for them do not exist yet.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _, Value};

/// What a message's `event` option says.
pub struct Event {
    pub name: String,
    pub key: String,
}

/// What a field's `rules` say.
#[derive(Default)]
pub struct Rules {
    pub required: bool,
    pub min_len: u32,
    pub max_len: u32,
    pub gte: Option<i64>,
    pub lte: Option<i64>,
    pub min_items: u32,
    pub max_items: u32,
    pub format: String,
}

/// The message's `entity` option, where it has one.
pub fn entity(message: &MessageDescriptor) -> Option<DynamicMessage> {
    option(&message.options(), "artel.options.v1.entity")
}

/// The message's `event` option, where it has one.
pub fn event(message: &MessageDescriptor) -> Option<Event> {
    let event = option(&message.options(), "artel.options.v1.event")?;
    Some(Event { name: text(&event, "name"), key: text(&event, "key") })
}

/// The field's `field` option, where it has one.
pub fn field(field: &FieldDescriptor) -> Option<DynamicMessage> {
    option(&field.options(), "artel.options.v1.field")
}

/// The field's rules; those of a field without any are the defaults.
pub fn rules(descriptor: &FieldDescriptor) -> Rules {
    let Some(rules) = field(descriptor)
        .and_then(|options| options.get_field_by_name("rules").map(|value| value.into_owned()))
    else {
        return Rules::default();
    };
    let Value::Message(rules) = rules else { return Rules::default() };
    let number =
        |name: &str| rules.get_field_by_name(name).and_then(|value| value.as_u32()).unwrap_or_default();
    let bound = |name: &str| {
        rules
            .has_field_by_name(name)
            .then(|| rules.get_field_by_name(name).and_then(|value| value.as_i64()))
            .flatten()
    };
    let format =
        rules.get_field_by_name("format").and_then(|value| value.as_enum_number()).unwrap_or_default();
    Rules {
        required: rules.get_field_by_name("required").and_then(|value| value.as_bool()).unwrap_or_default(),
        min_len: number("min_len"),
        max_len: number("max_len"),
        gte: bound("gte"),
        lte: bound("lte"),
        min_items: number("min_items"),
        max_items: number("max_items"),
        format: ["Text", "Uuid", "Email", "Url", "Currency", "Locale", "Any"]
            .get(usize::try_from(format).unwrap_or_default())
            .unwrap_or(&"Text")
            .to_string(),
    }
}

/// True when the field's option of that name is set to true.
pub fn flag(descriptor: &FieldDescriptor, name: &str) -> bool {
    field(descriptor)
        .and_then(|options| options.get_field_by_name(name).and_then(|value| value.as_bool()))
        .unwrap_or_default()
}

fn option(options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = options.descriptor().extensions().find(|extension| extension.full_name() == name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message().cloned()
}

fn text(message: &DynamicMessage, name: &str) -> String {
    message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The Rust path of a message's or enum's generated type: `generated::artel::order::v1::Order`.
pub fn rust_path(package: &str, name: &str) -> String {
    let module =
        package.split('.').map(|part| if part == "type" { "r#type" } else { part }).collect::<Vec<_>>();
    format!("generated::{}::{name}", module.join("::"))
}
