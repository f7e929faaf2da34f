//! OpenAPI 3.1: everything that REST can call, the door for webhooks and the board's events, for tools.

mod answers;
mod board;
mod operation;
mod webhooks;

use serde_json::{Map, Value, json};

use crate::errors::is_public;
use crate::example::{ADDRESS, template};
use crate::model::Service;
use crate::schema::{Schemas, title};

/// The name of the access token among the security schemes.
const TOKEN: &str = "accessToken";
const INTRODUCTION: &str = include_str!("introduction.md");

/// The document of every REST path, of the door for systems outside, and of the board's events.
#[must_use]
pub fn openapi(services: &[Service]) -> Value {
    let services: Vec<&Service> = services.iter().filter(|service| is_public(service)).collect();
    let called = || services.iter().flat_map(|service| &service.methods).filter(|it| it.access.is_public());
    let mut schemas = Schemas::new(called().map(|method| method.descriptor.output()));
    let mut paths = Map::new();
    for service in &services {
        for method in service.methods.iter().filter(|method| method.access.is_public()) {
            for (index, binding) in method.bindings.iter().enumerate() {
                let operation = operation::build(&mut schemas, service, method, index);
                let path = paths.entry(template(&binding.path)).or_insert_with(|| json!({}));
                path[binding.verb.to_lowercase()] = operation;
            }
        }
    }
    paths.insert(webhooks::PATH.to_owned(), webhooks::path());
    paths.extend(board::PATHS.map(|(path, operation)| (path.to_owned(), board::path(operation))));
    let mut components = schemas.into_components();
    components.extend(answers::schemas());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Artel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": "/", "description": "Where this document came from"},
            {"url": ADDRESS, "description": "A mesh on this machine (`cargo xtask up`)"},
        ],
        "tags": services.iter().map(|service| json!({
            "name": service.name,
            "description": service.comment,
            "x-displayName": title(&service.name),
            "x-grpc-service": service.full_name,
        })).chain([webhooks::tag()]).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": answers::shared(),
            "headers": answers::headers(),
            "securitySchemes": {
                TOKEN: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` of a sign-in. It lives for minutes; the refresh token gets the next one.",
                },
            },
        },
    })
}
