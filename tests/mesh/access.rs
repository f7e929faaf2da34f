//! Who gets in where: every method of the contracts, asked by nobody, a user and an editor, through Envoy over gRPC-Web.

use std::collections::BTreeSet;

use artel_proto::annotations;
use artel_proto::options::Access;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use crate::shop::Person;
use crate::support::{Mesh, unique};

const UNIMPLEMENTED: i32 = 12;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

#[tokio::test]
async fn every_method_lets_in_whom_its_annotation_names() {
    let mesh = Mesh::get();
    let user = Person::register(&mesh, "en").await;
    let mut walked = 0;
    let services = annotations::pool().services().filter(|service| service.full_name().starts_with("artel."));
    let methods: Vec<_> = services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    // An editor of everything: whoever has every role that a method asks for.
    let roles: BTreeSet<String> = methods
        .iter()
        .filter_map(|method| Some(annotations::method(method)?.role))
        .filter(|role| !role.is_empty())
        .collect();
    let editor = Person::with_roles(&mesh, roles.iter().map(String::as_str)).await;
    for method in methods {
        // A stream does not end: it is enough that it begins.
        let streams = method.is_server_streaming();
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let access = annotations::method(&method).unwrap_or_default().access();
        let (nobody, user, editor) = (
            ask(&mesh, &path, None, streams).await,
            ask(&mesh, &path, Some(&user.token), streams).await,
            ask(&mesh, &path, Some(&editor.token), streams).await,
        );
        let refused = |code: i32| matches!(code, UNAUTHENTICATED | PERMISSION_DENIED | UNIMPLEMENTED);
        match access {
            Access::Public => assert!(
                ![nobody, user, editor].iter().any(|code| matches!(*code, PERMISSION_DENIED | UNIMPLEMENTED)),
                "{path}: {nobody} {user} {editor}"
            ),
            Access::SignedIn => assert!(
                nobody == UNAUTHENTICATED && !refused(user) && !refused(editor),
                "{path}: {nobody} {user} {editor}"
            ),
            Access::Role => assert!(
                nobody == UNAUTHENTICATED && user == PERMISSION_DENIED && !refused(editor),
                "{path}: {nobody} {user} {editor}"
            ),
            // No route: to a caller it does not exist.
            Access::Internal | Access::Unspecified => {
                assert!([nobody, user, editor] == [UNIMPLEMENTED; 3], "{path}: {nobody} {user} {editor}")
            }
        }
        walked += 1;
    }
    assert!(walked > 20, "only {walked} methods");
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_there() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Mine "), 100, 5).await;
    let (anna, boris) = (Person::register(&mesh, "en").await, Person::register(&mesh, "en").await);
    let order = anna.order(&product, 1).await.ok();
    let id = order["order"]["id"].as_str().unwrap();
    let shown = mesh.read(&format!("/api/v1/orders/{id}"), Some(&boris.token)).await;
    let unknown = mesh.read("/api/v1/orders/0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f", Some(&boris.token)).await;
    assert_eq!((shown.status.as_u16(), shown.reason()), (404, "ORDER_NOT_FOUND"));
    let told = |answer: &crate::support::Answer| {
        (answer.body["code"].clone(), answer.body["message"].clone(), answer.reason().to_owned())
    };
    assert_eq!(told(&shown), told(&unknown), "nothing tells a stranger that it exists");
    let cancelled = mesh.post(&format!("/api/v1/orders/{id}:cancel"), Some(&boris.token), &json!({})).await;
    assert_eq!(cancelled.status, 404);
    assert!(
        mesh.read("/api/v1/orders", Some(&boris.token)).await.ok()["orders"].as_array().unwrap().is_empty()
    );
    assert_eq!(
        mesh.read(&format!("/api/v1/orders/{id}"), Some(&anna.token)).await.ok()["order"]["status"],
        "ORDER_STATUS_PLACED"
    );
}

#[tokio::test]
async fn a_service_call_from_outside_is_not_believed() {
    let mesh = Mesh::get();
    let key = std::fs::read_to_string(mesh.place("meshKeyFile")).unwrap();
    let signed = artel_client::CallKey::new(key.trim()).unwrap().sign("operator", &mesh.call()).unwrap();
    // Even one signed with the mesh's own key: Envoy lets no such header in.
    let answer = mesh
        .http
        .get(format!("{}/api/v1/orders", mesh.api))
        .header("x-artel-call", signed)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
}

/// Sends an empty message over gRPC-Web and gives the gRPC code of the answer.
async fn ask(mesh: &Mesh, path: &str, token: Option<&str>, streams: bool) -> i32 {
    let mut request = mesh
        .http
        .post(format!("{}{path}", mesh.api))
        .header(CONTENT_TYPE, "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(vec![0_u8; 5]);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    let code = |text: &str| text.trim().parse().ok();
    if let Some(code) = response.headers().get("grpc-status").and_then(|value| code(value.to_str().ok()?)) {
        return code;
    }
    let status = response.status();
    if streams && status.is_success() {
        return 0;
    }
    let body = response.bytes().await.unwrap();
    // The trailers are the last frame: `grpc-status:0` in text.
    let text = String::from_utf8_lossy(&body);
    text.split("grpc-status:")
        .nth(1)
        .and_then(|rest| code(rest.lines().next()?))
        .unwrap_or_else(|| panic!("{path} answered {status} without a gRPC status: {text}"))
}
