//! The OpenAPI document holds together: every reference leads somewhere, and every example is what its schema says.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use artel_proto::annotations::pool;
use jsonschema::Validator;
use serde_json::{Value, json};

fn document() -> Value {
    artel_reference::openapi(&artel_reference::read(pool()))
}

/// Every value in the document with the path to it.
fn walk<'a>(value: &'a Value, at: &str, see: &mut impl FnMut(&str, &'a Value)) {
    see(at, value);
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.replace('~', "~0").replace('/', "~1");
                walk(value, &format!("{at}/{name}"), see);
            }
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{at}/{index}"), see));
        }
        _ => {}
    }
}

/// Every operation: path, verb, operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .map(move |(verb, operation)| (path.as_str(), verb.as_str(), operation))
    });
    each.collect()
}

/// A validator of the schema at a place in the document, formats included.
fn schema(document: &Value, at: &str) -> Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [document.pointer(at).unwrap()],
    });
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

/// What stands behind a reference.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

#[test]
fn the_document_in_docs_is_what_the_contracts_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let found = std::fs::read_to_string(file).unwrap_or_default();
    let said = artel_reference::pretty(&document());
    assert!(found == said, "docs/openapi.json is not what the contracts say: run `artel docs`");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_referred_to() {
    let document = document();
    let mut referred = BTreeSet::new();
    walk(&document, "", &mut |at, value| {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return };
        let target = reference.strip_prefix('#').unwrap_or_else(|| panic!("{at} leads outside: {reference}"));
        assert!(document.pointer(target).is_some(), "{at} leads nowhere: {reference}");
        referred.insert(target.to_owned());
    });
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let place = format!("/components/{kind}/{name}");
            assert!(referred.contains(&place), "nobody refers to {place}");
        }
    }
}

#[test]
fn operations_are_told_apart_and_say_who_may_call_them() {
    let document = document();
    let tags: BTreeSet<&str> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str().unwrap()).collect();
    let mut names = BTreeSet::new();
    let operations = operations(&document);
    assert!(operations.len() > 15, "only {} operations", operations.len());
    for (path, verb, operation) in operations {
        let at = format!("{verb} {path}");
        assert!(["get", "put", "post", "delete", "patch"].contains(&verb), "{at}");
        assert!(names.insert(operation["operationId"].as_str().unwrap()), "{at}: the same name twice");
        assert!(tags.contains(operation["tags"][0].as_str().unwrap()), "{at}");
        for words in ["summary", "description"] {
            assert!(!operation[words].as_str().unwrap().is_empty(), "{at} has no {words}");
        }
        for scheme in operation["security"].as_array().unwrap() {
            for name in scheme.as_object().unwrap().keys() {
                assert!(document["components"]["securitySchemes"][name].is_object(), "{at}: {name}");
            }
        }
        let answers = operation["responses"].as_object().unwrap();
        let never: &[&str] = match path {
            // Nobody looks at a token at the door for webhooks, nor before the board, which nothing is too late for.
            "/webhooks/{source}" => &["401"],
            "/api/display/events" | "/api/v1/display/events" => &["401", "504"],
            _ => &[],
        };
        for status in ["200", "400", "401", "429", "500", "503", "504"] {
            let said = answers.contains_key(status);
            assert_eq!(said, !never.contains(&status), "{at} does not say what {status} means");
        }
        // What is in the braces is what is declared.
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let declared: BTreeSet<String> = parameters
            .iter()
            .filter(|it| it["in"] == "path")
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        let braces: BTreeSet<String> =
            path.split('{').skip(1).map(|part| part.split('}').next().unwrap().to_owned()).collect();
        assert_eq!(declared, braces, "{at}");
        let mut seen = BTreeSet::new();
        for parameter in &parameters {
            assert!(seen.insert((parameter["in"].to_string(), parameter["name"].to_string())), "{at}");
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{at}: {}", parameter["name"]);
        }
        assert!(verb != "get" || operation.get("requestBody").is_none(), "{at} has a body");
    }
}

#[test]
fn what_the_annotations_say_is_what_the_document_says() {
    let document = document();
    let operation = |path: &str, verb: &str| document["paths"][path][verb].clone();
    let create = operation("/api/v1/products", "post");
    assert_eq!(create["security"], json!([{"accessToken": ["catalog_editor"]}]));
    let refusals =
        |operation: &Value, status: &str| resolved(&document, &operation["responses"][status]).to_string();
    assert!(refusals(&create, "403").contains("ROLE_MISSING"));
    assert_eq!(operation("/api/v1/products", "get")["security"], json!([]));
    assert_eq!(operation("/api/v1/users/me", "get")["security"], json!([{"accessToken": []}]));
    // Nothing internal is told.
    let text = document.to_string();
    for secret in ["GrantRole", "PersistService", "password_hash", "passwordHash", "RotateKeys"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let list = operation("/api/v1/products", "get");
    let parameter = |name: &str| {
        list["parameters"].as_array().unwrap().iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(parameter("pageSize")["schema"], json!({"type": "integer", "format": "int32", "minimum": 0}));
    assert_eq!(parameter("minPrice")["schema"]["pattern"], "^[0-9]{1,20}$");
    assert_eq!(parameter("available")["schema"], json!({"type": "boolean"}));
    assert_eq!(parameter("search")["schema"]["maxLength"], 500);
    let placed = operation("/api/v1/orders", "post");
    assert!(refusals(&placed, "400").contains("OUT_OF_STOCK"));
    assert!(refusals(&placed, "409").contains("IDEMPOTENCY_KEY_REUSED"));
    // What stands in the path does not stand in the body, too: the edge refuses that.
    let change = operation("/api/v1/products/{product.id}", "patch");
    let body = &change["requestBody"]["content"]["application/json"]["schema"];
    assert!(body["properties"]["id"].is_null() && body["properties"]["name"].is_object(), "{body}");
    assert!(body["required"].is_null(), "a part is enough: {body}");
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut checked = 0;
    walk(&document, "", &mut |at, value| {
        let Some(examples) = value.get("schema").map(|_| examples(value)) else { return };
        let schema = schema(&document, &format!("{at}/schema"));
        for example in examples {
            let problems: Vec<String> =
                schema.iter_errors(example).map(|it| format!("{}: {it}", it.instance_path())).collect();
            assert!(problems.is_empty(), "{at}: {problems:?}\n{example:#}");
            checked += 1;
        }
    });
    assert!(checked > 60, "only {checked} examples");
}

fn examples(value: &Value) -> Vec<&Value> {
    let many = value.get("examples").and_then(Value::as_object);
    let many = many.into_iter().flat_map(|many| many.values().map(|one| &one["value"]));
    value.get("example").into_iter().chain(many).collect()
}

/// The schemas refuse what the services refuse: a negative control for the test above.
#[test]
fn wrong_requests_do_not_fit_the_schemas() {
    let document = document();
    let body = |path: &str, verb: &str| {
        let path = path.replace('/', "~1");
        schema(&document, &format!("/paths/{path}/{verb}/requestBody/content/application~1json/schema"))
    };
    let id = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";
    let order = body("/api/v1/orders", "post");
    assert!(order.is_valid(&json!({"items": [{"productId": id, "quantity": 1}]})));
    for wrong in [
        json!({}),
        json!({"items": []}),
        json!({"items": [{"productId": id}]}),
        json!({"items": [{"productId": id, "quantity": 0}]}),
        json!({"items": [{"productId": id, "quantity": 1_000_001}]}),
        json!({"items": [{"productId": id, "quantity": 1.5}]}),
        json!({"items": [{"productId": "1", "quantity": 1}]}),
        json!({"items": [{"productId": id, "quantity": 1, "price": 1}]}),
        json!({"items": [{"productId": id, "quantity": 1}], "idempotency": "k"}),
        json!({"items": [{"productId": id, "quantity": 1}], "idempotencyKey": "k".repeat(129)}),
    ] {
        assert!(!order.is_valid(&wrong), "{wrong}");
    }
    let register = body("/api/v1/auth/register", "post");
    let right = json!({"email": "a@b.kz", "password": "12345678", "displayName": "A", "locale": "kk"});
    assert!(register.is_valid(&right));
    for (field, value) in [("email", "x"), ("password", "1"), ("displayName", " "), ("locale", "de")] {
        let mut wrong = right.clone();
        wrong[field] = json!(value);
        assert!(!register.is_valid(&wrong), "{wrong}");
    }
    let product = body("/api/v1/products", "post");
    let right = json!({"name": "X", "stock": 1, "price": {"amountMinor": "1", "currency": "RUB"}});
    assert!(product.is_valid(&right));
    for (field, value) in [
        ("price", json!({"amountMinor": "1", "currency": "rub"})),
        ("price", json!({"amountMinor": 1.5, "currency": "RUB"})),
        ("stock", json!(-1)),
        ("pictures", json!(["ftp://x"])),
    ] {
        let mut wrong = right.clone();
        wrong[field] = value;
        assert!(!product.is_valid(&wrong), "{wrong}");
    }
}
