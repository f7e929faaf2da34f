//! What the annotations of the contracts say, read from the descriptor set.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    MethodDescriptor,
};

use crate::DESCRIPTORS;
use crate::api::HttpRule;
use crate::options::{EntityOptions, EventOptions, FieldOptions, MethodOptions};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTORS).expect("the descriptor set was written by our own build script")
});

/// The descriptors of every contract.
#[must_use]
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// What the method's annotation says; `None` where it has none, which denies it to everybody.
#[must_use]
pub fn method(method: &MethodDescriptor) -> Option<MethodOptions> {
    read(&method.options(), "artel.options.v1.method")
}

/// The REST paths of the method, if it has any.
#[must_use]
pub fn http(method: &MethodDescriptor) -> Option<HttpRule> {
    read(&method.options(), "google.api.http")
}

/// What makes the message an entity, if anything does.
#[must_use]
pub fn entity(message: &MessageDescriptor) -> Option<EntityOptions> {
    read(&message.options(), "artel.options.v1.entity")
}

/// What makes the message an event, if anything does.
#[must_use]
pub fn event(message: &MessageDescriptor) -> Option<EventOptions> {
    read(&message.options(), "artel.options.v1.event")
}

/// Who tells the event: the service named like the package that declares it. `persist` takes it from no other.
#[must_use]
pub fn publisher(event: &MessageDescriptor) -> &str {
    event.package_name().split('.').nth(1).unwrap_or_default()
}

/// What the contract says in words above an element: `comment(&message.parent_file(), message.path())`.
#[must_use]
pub fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let places = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let text = places.filter(|place| place.path == path).find_map(|place| place.leading_comments.as_deref());
    text.unwrap_or_default().lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// What the field's annotation says; the defaults where it has none.
#[must_use]
pub fn field(field: &FieldDescriptor) -> FieldOptions {
    read(&field.options(), "artel.options.v1.field").unwrap_or_default()
}

/// A method of the contracts as whoever calls or answers it needs to know it.
#[derive(Debug)]
pub struct Rule {
    /// `artel.order.v1.OrderService`
    pub service: String,
    /// The path without its first slash: `artel.order.v1.OrderService/GetOrder`.
    pub name: String,
    /// What its annotation says; `None` denies it to everybody.
    pub options: Option<MethodOptions>,
    /// The caller sends a stream.
    pub client_streams: bool,
    /// The answer is a stream.
    pub server_streams: bool,
}

static RULES: LazyLock<HashMap<String, Rule>> = LazyLock::new(|| {
    let methods = pool().services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let rules = methods.map(|described| {
        let service = described.parent_service().full_name().to_owned();
        let name = format!("{service}/{}", described.name());
        let rule = Rule {
            service,
            options: method(&described),
            client_streams: described.is_client_streaming(),
            server_streams: described.is_server_streaming(),
            name: name.clone(),
        };
        (format!("/{name}"), rule)
    });
    rules.collect()
});

/// What is known of the method behind a request path, `/artel.order.v1.OrderService/GetOrder`. Read once: every call
/// asks.
#[must_use]
pub fn rule(path: &str) -> Option<&'static Rule> {
    RULES.get(path)
}

/// All of them by their paths.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static Rule)> {
    RULES.iter().map(|(path, rule)| (path.as_str(), rule))
}

fn read<T: Message + Default>(options: &DynamicMessage, name: &str) -> Option<T> {
    let extension: ExtensionDescriptor = pool().get_extension_by_name(name)?;
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message()?.transcode_to().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Access, Scope};

    #[test]
    fn annotations_are_read() {
        let order = pool().get_message_by_name("artel.order.v1.Order").unwrap();
        let options = entity(&order).unwrap();
        assert_eq!((options.table.as_str(), options.scope()), ("orders", Scope::Workspace));
        assert!(field(&order.get_field_by_name("id").unwrap()).key);
        let rule = rule("/artel.catalog.v1.CatalogService/ImportFeed").unwrap();
        assert!(rule.client_streams && !rule.server_streams);
        let options = rule.options.as_ref().unwrap();
        assert_eq!((options.access(), options.role.as_str()), (Access::Role, "catalog_editor"));
    }

    #[test]
    fn an_event_is_told_by_the_service_of_its_package() {
        let placed = pool().get_message_by_name("artel.order.v1.OrderPlaced").unwrap();
        assert_eq!((event(&placed).unwrap().name.as_str(), publisher(&placed)), ("order.placed", "order"));
        let order = placed.get_field_by_name("order").unwrap();
        assert_eq!(comment(&order.parent_file(), order.path()), "The order as it was placed.");
    }

    #[test]
    fn every_method_of_ours_says_who_may_call_it() {
        for service in pool().services().filter(|service| service.full_name().starts_with("artel.")) {
            for one in service.methods() {
                let options = method(&one).unwrap_or_default();
                assert_ne!(
                    options.access(),
                    Access::Unspecified,
                    "{} has no access annotation",
                    one.full_name()
                );
                assert_eq!(options.access() == Access::Role, !options.role.is_empty(), "{}", one.full_name());
            }
        }
    }
}
