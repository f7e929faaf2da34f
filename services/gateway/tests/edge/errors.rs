//! What is wrong is said in one form, whoever finds it: `google.rpc.Status` that names what is wrong.

use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::{CreateOrderRequest, ListOrdersRequest};
use serde_json::{Value, json};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::envoy::Edge;
use crate::reach::ID;
use crate::upstream::Upstream;

/// HTTP status, code, reason, message.
type Refusal = (u16, i64, String, String);

async fn refusal(answer: Result<reqwest::Response, reqwest::Error>) -> Refusal {
    let answer = answer.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    let text = answer.text().await.unwrap();
    assert!(kind.starts_with("application/json"), "{kind}: {text}");
    let body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let info = &body["details"][0];
    assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{text}");
    assert_eq!(info["domain"], "artel", "{text}");
    let reason = info["reason"].as_str().unwrap().to_owned();
    (status, body["code"].as_i64().unwrap(), reason, body["message"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_that_do_not_exist() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let url = |path: &str| format!("{}{path}", edge.url);
    for path in ["/nothing", "/api/v1/product", "/api/v1/orders/a/b", "/docs.html", "/api/v1/orders/"] {
        let (status, code, reason, message) = refusal(edge.http.get(url(path)).send().await).await;
        assert_eq!((status, code, reason.as_str()), (404, 5, "PATH_NOT_FOUND"), "{path}: {message}");
        assert!(message.contains("/docs"), "{message}");
    }
    for (path, allowed) in [
        ("/api/v1/orders", "GET, HEAD, POST"),
        ("/api/v1/orders/x:cancel", "POST"),
        ("/api/v1/notifications/preferences", "GET, HEAD, PATCH"),
    ] {
        let answer = edge.http.delete(url(path)).send().await.unwrap();
        let mut verbs: Vec<_> =
            answer.headers()["allow"].to_str().unwrap().split(", ").map(str::to_owned).collect();
        verbs.sort();
        assert_eq!(verbs.join(", "), allowed, "{path}");
        let (status, code, reason, _) = refusal(Ok(answer)).await;
        assert_eq!((status, code, reason.as_str()), (405, 12, "METHOD_NOT_ALLOWED"), "{path}");
    }
    let status = call(&edge, "/artel.order.v1.OrderService/Nothing").await;
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("/docs"), "{status:?}");
}

/// A gRPC call of any path with an empty message.
pub async fn call(edge: &Edge, path: &'static str) -> tonic::Status {
    let mut client = tonic::client::Grpc::new(edge.channel());
    client.ready().await.unwrap();
    let codec = artel_proto::CheckedCodec::<ListOrdersRequest, ListOrdersRequest>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    client.unary(Request::new(ListOrdersRequest::default()), path, codec).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bodies_and_queries_name_the_field_and_reach_nobody() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let token = upstream.key.token();
    let before = upstream.calls();
    for (body, field) in [
        (json!({"items": [{"productId": ID, "quantiy": 1}]}).to_string(), "items[0].quantiy"),
        (json!({"items": [{"productId": ID, "quantity": "x"}]}).to_string(), "items[0].quantity"),
        (json!({"items": [{"productId": ID, "quantity": 1e12}]}).to_string(), "items[0].quantity"),
        (json!({"items": [{"productId": 5, "quantity": 1}]}).to_string(), "items[0].productId"),
        (json!({"items": [{"productId": ID, "quantity": -1}]}).to_string(), "items[0].quantity"),
        (json!({"items": [{"productId": "x", "quantity": 1}]}).to_string(), "items[0].productId"),
        (json!({"items": [], "price": 1}).to_string(), "price"),
        (json!({}).to_string(), "items"),
        (json!([]).to_string(), "body"),
        (r#"{"items": [], "idempotencyKey": "a", "idempotencyKey": "b"}"#.to_owned(), "idempotencyKey"),
        ("{\"items\":".to_owned(), "body"),
        ("a=b".to_owned(), "body"),
        (String::new(), "items"),
    ] {
        let answer = edge
            .http
            .post(format!("{}/api/v1/orders", edge.url))
            .bearer_auth(&token)
            .header("content-type", "application/json")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        let text = answer.text().await.unwrap();
        let status: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status["code"], 3, "{body}: {text}");
        assert_eq!(status["details"][0]["reason"], "INVALID_FIELDS", "{body}: {text}");
        let violations = status["details"][1]["fieldViolations"].as_array().unwrap();
        assert!(violations.iter().any(|violation| violation["field"] == field), "{body}: {text}");
    }
    assert_eq!(upstream.calls(), before, "a wrong body reached a handler");

    for (query, named) in [
        ("bogus=1", "bogus"),
        ("minPrice=abc", "minPrice"),
        ("min_price=abc", "minPrice"),
        ("available=maybe", "available"),
        ("pageSize=99999999999", "pageSize"),
        ("pageSize=1&pageSize=2", "pageSize"),
    ] {
        let answer = edge.http.get(format!("{}/api/v1/products?{query}", edge.url)).send().await.unwrap();
        let status: Value = answer.json().await.unwrap();
        assert_eq!((&status["code"], &status["details"][0]["reason"]), (&json!(3), &json!("INVALID_FIELDS")));
        assert_eq!(status["details"][1]["fieldViolations"][0]["field"], named, "{query}: {status}");
    }
    let mask = format!("{}/api/v1/users/me?updateMask=locale&nothing=1", edge.url);
    let answer = edge.http.patch(mask).bearer_auth(&token).json(&json!({"locale": "ru"})).send().await;
    let (status, _, reason, message) = refusal(answer).await;
    assert_eq!((status, reason.as_str()), (400, "INVALID_FIELDS"), "{message}");
    assert!(message.contains("nothing"), "beside a body, too: {message}");
    assert_eq!(upstream.calls(), before, "a wrong query reached a handler");
    let conflict = edge
        .http
        .post(format!("{}/api/v1/orders/{ID}:cancel", edge.url))
        .bearer_auth(&token)
        .json(&json!({"id": "0195d3a8-0000-7000-8000-000000000000"}))
        .send()
        .await;
    let (status, _, _, message) = refusal(conflict).await;
    assert!(status == 400 && message.contains("id"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let token = upstream.key.token();
    let large = json!({"items": [], "idempotencyKey": "k".repeat(1_100_000)}).to_string();
    let answer =
        edge.http.post(format!("{}/api/v1/orders", edge.url)).bearer_auth(&token).body(large).send().await;
    let (status, code, reason, message) = refusal(answer).await;
    assert_eq!((status, code, reason.as_str()), (413, 8, "REQUEST_TOO_LARGE"), "{message}");
    // Far more than any buffer on the way holds. Envoy may answer and close before all of it is sent.
    let huge = vec![b'x'; 20 << 20];
    let login = format!("{}/api/v1/auth/login", edge.url);
    for _ in 0..5 {
        if let Ok(answer) = edge.http.post(&login).body(huge.clone()).send().await {
            assert_eq!(answer.status(), 413);
        }
    }

    let request = CreateOrderRequest { idempotency_key: "k".repeat(1_100_000), ..Default::default() };
    let mut request = Request::new(request);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let status = OrderServiceClient::new(edge.channel()).create_order(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "REQUEST_TOO_LARGE");

    let answer = edge
        .http
        .get(format!("{}/api/v1/products", edge.url))
        .header("x-large", "x".repeat(40_000))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_whoever_sets_it() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(|config| config.timeout_ms = 1500).await;
    for host in edge.control.hosts() {
        edge.learn(host, &[upstream.address]);
    }
    edge.wait_for("/.well-known/jwks.json").await;
    let token = upstream.key.token();
    let url = format!("{}/api/v1/orders?pageSize=5000", edge.url);
    let (status, code, reason, _) = refusal(edge.http.get(url).bearer_auth(&token).send().await).await;
    assert_eq!((status, code, reason.as_str()), (504, 4, "DEADLINE_EXCEEDED"));
    // The service was told how long the caller waits.
    let told = upstream.seen.metadata.lock().unwrap().get("grpc-timeout").cloned().unwrap();
    assert_eq!(told, "1600m");

    let mut request = Request::new(ListOrdersRequest { page_size: 5000, ..Default::default() });
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request.metadata_mut().insert("grpc-timeout", "600m".parse().unwrap());
    let before = std::time::Instant::now();
    let status = OrderServiceClient::new(edge.channel()).list_orders(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(before.elapsed() < std::time::Duration::from_millis(1400), "{:?}", before.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_away_is_said_to_be() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    edge.learn("catalog", &[]);
    edge.wait_until("/api/v1/products", 503).await;
    let answer = edge.http.get(format!("{}/api/v1/products", edge.url)).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["code"], 14);
    assert_eq!(body["details"][0]["reason"], "SERVICE_UNAVAILABLE");
    assert_eq!(body["details"][1]["retryDelay"], "1s");
    let status = call(&edge, "/artel.catalog.v1.CatalogService/ListProducts").await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().unwrap().reason, "SERVICE_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some());
}
