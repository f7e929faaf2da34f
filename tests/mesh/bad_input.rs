//! Bad input gets a clear error that names the field, and changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Mesh, unique};

#[tokio::test]
async fn every_wrong_field_is_named() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Bad input "), 100, 5).await;
    let token = Some(editor.token.as_str());
    let item = |quantity: Value| json!({"items": [{"productId": product, "quantity": quantity}]});
    let price = |amount: &str, currency: &str| json!({"name": "X", "price": {"amountMinor": amount, "currency": currency}});
    let cases: Vec<(&str, Method, &str, Value, &str)> = vec![
        (
            "no e-mail",
            Method::POST,
            "/api/v1/auth/register",
            json!({"password": "12345678", "displayName": "A"}),
            "email",
        ),
        (
            "bad e-mail",
            Method::POST,
            "/api/v1/auth/register",
            json!({"email": "x", "password": "12345678", "displayName": "A"}),
            "email",
        ),
        (
            "short password",
            Method::POST,
            "/api/v1/auth/register",
            json!({"email": "x@y.kz", "password": "1", "displayName": "A"}),
            "password",
        ),
        (
            "no name",
            Method::POST,
            "/api/v1/auth/register",
            json!({"email": "x@y.kz", "password": "12345678"}),
            "displayName",
        ),
        (
            "unknown field",
            Method::POST,
            "/api/v1/auth/login",
            json!({"email": "x@y.kz", "password": "12345678", "admin": true}),
            "admin",
        ),
        ("no items", Method::POST, "/api/v1/orders", json!({"items": []}), "items"),
        ("nothing of it", Method::POST, "/api/v1/orders", item(json!(0)), "quantity"),
        ("less than nothing", Method::POST, "/api/v1/orders", item(json!(-1)), "quantity"),
        ("too many", Method::POST, "/api/v1/orders", item(json!(2_000_000)), "quantity"),
        ("more than a number", Method::POST, "/api/v1/orders", item(json!(99_999_999_999_u64)), "quantity"),
        ("half of one", Method::POST, "/api/v1/orders", item(json!(0.5)), "quantity"),
        ("no number", Method::POST, "/api/v1/orders", item(json!("many")), "quantity"),
        (
            "no product id",
            Method::POST,
            "/api/v1/orders",
            json!({"items": [{"productId": "1", "quantity": 1}]}),
            "productId",
        ),
        (
            "no such product",
            Method::POST,
            "/api/v1/orders",
            json!({"items": [{"productId": "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f", "quantity": 1}]}),
            "productId",
        ),
        ("negative price", Method::POST, "/api/v1/products", price("-1", "RUB"), "price"),
        (
            "overflowing price",
            Method::POST,
            "/api/v1/products",
            price("9223372036854775808", "RUB"),
            "amountMinor",
        ),
        ("no currency", Method::POST, "/api/v1/products", price("1", ""), "currency"),
        ("strange currency", Method::POST, "/api/v1/products", price("1", "rub"), "currency"),
        ("no price", Method::POST, "/api/v1/products", json!({"name": "X"}), "price"),
        (
            "no product name",
            Method::POST,
            "/api/v1/products",
            json!({"price": {"amountMinor": "1", "currency": "RUB"}}),
            "name",
        ),
        (
            "negative stock",
            Method::POST,
            "/api/v1/products",
            json!({"name": "X", "stock": -1, "price": {"amountMinor": "1", "currency": "RUB"}}),
            "stock",
        ),
        (
            "unknown mask",
            Method::PATCH,
            "/api/v1/users/me?updateMask=email",
            json!({"email": "new@y.kz"}),
            "email",
        ),
        ("strange locale", Method::PATCH, "/api/v1/users/me", json!({"locale": "de"}), "locale"),
    ];
    for (what, method, path, body, field) in cases {
        let answer = mesh.send(method, path, token, Some(&body)).await;
        assert!(answer.status.is_client_error(), "{what}: {} {}", answer.status, answer.body);
        assert!(matches!(answer.body["code"].as_i64(), Some(3 | 5 | 11)), "{what}: {}", answer.body);
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(field) || answer.fields().iter().any(|own| own.contains(field)),
            "{what}: «{message}» does not name {field}"
        );
    }
    let shown = mesh.read(&format!("/api/v1/products/{product}"), None).await.ok();
    assert_eq!(shown["product"]["stock"], 5, "nothing of it changed anything");
}

#[tokio::test]
async fn queries_are_checked_too() {
    let mesh = Mesh::get();
    for (path, field) in [
        ("/api/v1/products?minPrice=-1", "minPrice"),
        ("/api/v1/products?minPrice=abc", "minPrice"),
        ("/api/v1/products?minPrice=5&maxPrice=1", "Price"),
        ("/api/v1/products?orderBy=secret", "orderBy"),
        ("/api/v1/products?pageToken=nonsense", "pageToken"),
        ("/api/v1/products?pageSize=-1", "pageSize"),
        ("/api/v1/products?categoryId=1", "categoryId"),
        ("/api/v1/products?nothing=1", "nothing"),
        ("/api/v1/products/1", "id"),
    ] {
        let answer = mesh.read(path, None).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert!(
            answer.fields().iter().any(|named| named.contains(field)),
            "{path}: {} does not name {field}",
            answer.body
        );
    }
    assert_eq!(mesh.read("/api/v1/nothing", None).await.status, 404);
    let page = mesh.read("/api/v1/products?pageSize=1", None).await.ok();
    let token = page["nextPageToken"].as_str().unwrap();
    assert!(!token.is_empty(), "the demo catalogue has more than one product");
    let other =
        mesh.read(&format!("/api/v1/products?pageSize=1&orderBy=price&pageToken={token}"), None).await;
    assert_eq!((other.status.as_u16(), other.fields()), (400, vec!["pageToken"]), "{}", other.body);
}

#[tokio::test]
async fn a_huge_body_is_refused_early() {
    let mesh = Mesh::get();
    let body = json!({"email": "x@y.kz", "password": "p".repeat(20 << 20)});
    // Envoy may answer and close before all of it is sent.
    if let Ok(answer) = mesh.try_send(Method::POST, "/api/v1/auth/login", None, Some(&body)).await {
        assert_eq!(answer.status, 413, "{}", answer.body);
    }
    mesh.read("/api/v1/products?pageSize=1", None).await.ok();
}
