//! What the page's script needs to call a method for whoever reads.

use prost_reflect::Kind;
use serde_json::{Value, json};

use super::{method, public};
use crate::errors::COMMON;
use crate::example;
use crate::model::{Access, Method, Place, Service};

/// All of it, as JSON that may stand in a `<script>`.
pub fn data(services: &[&Service]) -> String {
    let methods: Vec<Value> =
        services.iter().flat_map(|service| public(service).filter_map(|it| one(service, it))).collect();
    let path = |name: &str| {
        let methods = services.iter().flat_map(|service| public(service));
        let mut found = methods.filter(|method| method.name == name && !method.bindings.is_empty());
        found.next().map(|method| method.bindings[0].path.clone())
    };
    let fixes: serde_json::Map<String, Value> =
        COMMON.iter().map(|common| (common.reason.to_owned(), json!(common.fix))).collect();
    let data =
        json!({"methods": methods, "login": path("Login"), "refresh": path("Refresh"), "fixes": fixes});
    // `</script>` in a text would end the element that holds it.
    data.to_string().replace("</", "<\\/")
}

fn one(service: &Service, method: &Method) -> Option<Value> {
    let binding = method.bindings.first()?;
    let input = method.descriptor.input();
    let mut fields: Vec<Value> = example::variables(&binding.path)
        .into_iter()
        .map(|name| json!({"in": "path", "name": name, "required": true}))
        .collect();
    for field in method.request.iter().filter(|field| field.depth == 0 && field.place == Place::Query) {
        let name = field.path.trim_end_matches("[]");
        let Some(descriptor) = input.get_field_by_json_name(name) else { continue };
        let choices = match descriptor.kind() {
            Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
            Kind::Enum(choices) => choices.values().skip(1).map(|value| value.name().to_owned()).collect(),
            _ => Vec::new(),
        };
        let hint = if field.rules.is_empty() { field.kind.clone() } else { field.rules.join(", ") };
        fields.push(json!({
            "in": "query", "name": name, "required": field.required, "choices": choices, "hint": hint,
            "many": descriptor.is_list(),
        }));
    }
    let body = example::request_body(&method.descriptor, binding).filter(|_| !method.streams_in);
    Some(json!({
        "id": method::anchor(service, method),
        "verb": binding.verb,
        "path": example::template(&binding.path),
        "signed": !matches!(method.access, Access::Public),
        "fields": fields,
        "body": body,
        "mask": method.descriptor.input().get_field_by_name("update_mask").map(|field| field.json_name().to_owned()),
        "file": method.streams_in,
    }))
}
