//! The documents say what the mesh does: each example in them is sent, and each answer is what they say it is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Mesh, unique};

/// The id that examples name.
const EXAMPLE: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";

/// What stands behind a reference.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// What of a body does not fit the schema of an answer.
fn problems(document: &Value, answer: &Value, body: &Value) -> Vec<String> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
        "allOf": [resolved(document, answer)["content"]["application/json"]["schema"]],
    });
    let schema = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    schema.iter_errors(body).map(|problem| format!("{}: {problem}", problem.instance_path())).collect()
}

#[tokio::test]
async fn every_example_is_taken_and_every_answer_is_what_the_document_says() {
    let mesh = Mesh::get();
    let document = mesh.read("/openapi.json", None).await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Example "), 12_900, 100).await;
    let placed = editor.order(&product, 1).await.ok();
    assert!(
        problems(&document, &document["paths"]["/api/v1/orders"]["post"]["responses"]["200"], &placed)
            .is_empty()
    );

    let mut operations: Vec<(&String, &String, &Value)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(verb, it)| (path, verb, it)))
        .collect();
    // What takes away comes last.
    operations.sort_by_key(|(_, verb, _)| *verb == "delete");
    let (mut sent, mut fine, mut wrongs) = (0, 0, Vec::new());
    for (path, verb, operation) in operations {
        let at = format!("{verb} {path}");
        // The board's events do not end.
        if operation["responses"]["200"]["content"]["text/event-stream"].is_object() {
            continue;
        }
        let body = &operation["requestBody"]["content"]["application/json"]["example"];
        if !operation["requestBody"].is_null() && body.is_null() {
            continue;
        }
        let body: Value = serde_json::from_str(&body.to_string().replace(EXAMPLE, &product)).unwrap();
        let mut url = path.clone();
        let mut query = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let example = &parameter["example"];
            if parameter["in"] == "path" {
                url = url.replace(&format!("{{{name}}}"), &product);
            } else if !example.is_null() {
                query.push(format!(
                    "{name}={}",
                    example.as_str().map_or_else(|| example.to_string(), str::to_owned)
                ));
            }
        }
        if !query.is_empty() {
            url = format!("{url}?{}", query.join("&"));
        }
        let method = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
        let answer = mesh.send(method, &url, Some(&editor.token), (!body.is_null()).then_some(&body)).await;
        let status = answer.status.as_u16();
        let wrong = [
            "INVALID_FIELDS",
            "INVALID_REQUEST",
            "PATH_NOT_FOUND",
            "METHOD_NOT_ALLOWED",
            "MALFORMED_REQUEST",
        ];
        assert!(!wrong.contains(&answer.reason()), "{at}: the example is refused: {}", answer.body);
        assert!(!answer.status.is_server_error(), "{at}: {status} {}", answer.body);
        let said = &operation["responses"][status.to_string()];
        if said.is_object() {
            let found = problems(&document, said, &answer.body);
            wrongs.extend(found.iter().map(|problem| format!("{at} {status}: {problem} in {}", answer.body)));
        } else {
            wrongs.push(format!("{at} answers {status}, of which nothing is said: {}", answer.body));
        }
        sent += 1;
        fine += u32::from(answer.status.is_success());
    }
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
    assert!(sent > 15 && fine > 10, "{sent} sent, {fine} of them fine");
}

#[tokio::test]
async fn refusals_are_what_the_document_says() {
    let mesh = Mesh::get();
    let document = mesh.read("/openapi.json", None).await.ok();
    let person = Person::register(&mesh, "en").await;
    let order = json!({"items": [{"productId": EXAMPLE, "quantity": 1}]});
    for (verb, path, at, token, body, status) in [
        ("post", "/api/v1/orders", "/api/v1/orders", None, Some(&order), 401),
        (
            "post",
            "/api/v1/products",
            "/api/v1/products",
            Some(&person.token),
            Some(&json!({"name": "X"})),
            403,
        ),
        ("post", "/api/v1/orders", "/api/v1/orders", Some(&person.token), Some(&json!({"items": []})), 400),
        ("post", "/api/v1/orders", "/api/v1/orders", Some(&person.token), Some(&json!({"itms": []})), 400),
        ("get", "/api/v1/products?pageSize=x", "/api/v1/products", None, None, 400),
        ("get", "/api/v1/orders", "/api/v1/orders", Some(&"forged".to_owned()), None, 401),
    ] {
        let method = Method::from_bytes(verb.to_uppercase().as_bytes()).unwrap();
        let answer = mesh.send(method, path, token.map(String::as_str), body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let said = &document["paths"][at][verb]["responses"][status.to_string()];
        assert!(said.is_object(), "{path} {status}");
        let problems = problems(&document, said, &answer.body);
        assert!(problems.is_empty(), "{path} {status}: {problems:?}\n{}", answer.body);
    }
}

#[tokio::test]
async fn the_page_and_the_documents_are_served() {
    let mesh = Mesh::get();
    let page = mesh.http.get(format!("{}/docs", mesh.api)).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().contains("id=\"order-CreateOrder\""));
    let yaml = mesh.http.get(format!("{}/openapi.yaml", mesh.api)).send().await.unwrap();
    assert_eq!(yaml.headers()["content-type"], "application/yaml");
    assert!(yaml.text().await.unwrap().contains("openapi: 3.1.0"));
    let events = mesh.read("/asyncapi.json", None).await.ok();
    assert_eq!(events["asyncapi"], "3.0.0");
    let heard = &events["operations"]["notify.hears.order.placed"];
    assert_eq!(
        (heard["action"].as_str(), heard["channel"]["$ref"].as_str()),
        (Some("receive"), Some("#/channels/order.placed"))
    );
}
