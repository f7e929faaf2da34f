//! Who gets in, and what they cannot bring along.

use artel_proto::order::ListOrdersRequest;
use artel_proto::order::order_service_client::OrderServiceClient;
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::envoy::Edge;
use crate::errors::call;
use crate::tokens::{Key, claims, now};
use crate::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_opens_what_needs_one() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let key = &upstream.key;
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        key.sign(claims)
    };
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    let bad = [
        ("forged", Key::new("first").token()),
        ("of an unknown key", Key::new("other").token()),
        ("alg none", key.unsigned()),
        ("alg confusion", key.confused()),
        ("expired", with("exp", json!(now() - 60))),
        ("not yet", with("nbf", json!(now() + 600))),
        ("another's", with("aud", json!("elsewhere"))),
        ("of another issuer", with("iss", json!("elsewhere"))),
        ("without an end", key.sign(endless)),
        ("not a token", "hello".to_owned()),
    ];
    let before = upstream.calls();
    for (what, token) in &bad {
        // A bad token is refused even where none is needed.
        for path in ["/api/v1/orders", "/api/v1/products"] {
            let answer =
                edge.http.get(format!("{}{path}", edge.url)).bearer_auth(token).send().await.unwrap();
            assert_eq!(answer.status(), 401, "{what} {path}");
            assert!(answer.headers().contains_key("www-authenticate"), "{what} {path}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["code"], 16, "{what} {path}: {body}");
            let reason = if *what == "expired" { "TOKEN_EXPIRED" } else { "UNAUTHENTICATED" };
            assert_eq!(body["details"][0]["reason"], reason, "{what} {path}: {body}");
        }
        let mut request = Request::new(ListOrdersRequest::default());
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let status = OrderServiceClient::new(edge.channel()).list_orders(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{what}: {status:?}");
    }
    let answer = edge.http.get(format!("{}/api/v1/orders", edge.url)).send().await.unwrap();
    assert_eq!(answer.status(), 401);
    let body: Value = answer.json().await.unwrap();
    assert!(body["message"].as_str().unwrap().contains("Jwt is missing"), "{body}");
    assert_eq!(upstream.calls(), before, "somebody got in");

    let answer =
        edge.http.get(format!("{}/api/v1/orders", edge.url)).bearer_auth(key.token()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(upstream.seen.metadata.lock().unwrap().contains_key("authorization"), "the token went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_grpc_web_client_as_a_status() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let answer = edge
        .http
        .post(format!("{}/artel.order.v1.OrderService/ListOrders", edge.url))
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["grpc-status"], "16");
    assert!(answer.headers()["grpc-message"].to_str().unwrap().contains("Jwt_is_missing"));
    assert_eq!(answer.headers()["content-type"], "application/grpc-web+proto");
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_methods_have_no_door() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    for path in [
        "/artel.identity.v1.IdentityService/GrantRole",
        "/artel.identity.v1.IdentityService/RevokeRole",
        "/artel.identity.v1.IdentityService/RotateKeys",
        "/artel.persist.v1.PersistService/Commit",
        "/grpc.health.v1.Health/Check",
    ] {
        assert_eq!(call(&edge, path).await.code(), Code::Unimplemented, "{path}");
        for kind in ["application/json", "application/grpc", "application/grpc-web+proto"] {
            let answer = edge
                .http
                .post(format!("{}{path}", edge.url))
                .header("content-type", kind)
                .bearer_auth(upstream.key.token())
                .body("{}")
                .send()
                .await
                .unwrap();
            let refused =
                answer.status() == 404 || answer.headers().get("grpc-status").is_some_and(|it| it == "12");
            assert!(refused, "{path} as {kind}: {answer:?}");
        }
    }
    assert_eq!(upstream.seen.internal.load(std::sync::atomic::Ordering::Relaxed), 0);
    let metrics = edge.http.get(format!("{}/metrics", edge.url)).send().await.unwrap();
    assert_eq!(metrics.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_speaks_for_a_service_or_steers_envoy() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let answer = edge
        .http
        .get(format!("{}/api/v1/products", edge.url))
        .header("x-artel-call", "forged")
        .header("X-Artel-Anything", "else")
        .header("x-envoy-upstream-rq-timeout-ms", "1")
        .header("x-envoy-retry-on", "5xx")
        .header("x-envoy-original-path", "/elsewhere")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let metadata = upstream.seen.metadata.lock().unwrap().clone();
    let names: Vec<_> = metadata.keys().map(|key| format!("{key:?}").to_lowercase()).collect();
    assert!(!names.iter().any(|name| name.contains("x-artel")), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("rq-timeout") || name.contains("retry-on")), "{names:?}");
    assert_ne!(metadata.get("x-envoy-original-path").unwrap(), "/elsewhere");

    let status = call(&edge, "/artel.catalog.v1.CatalogService/ListProducts").await;
    // The answer is of another type than asked for; that it came is what counts.
    assert_ne!(status.code(), Code::Unimplemented);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_learned_without_an_outage() {
    let first = Upstream::start().await;
    let edge = Edge::before(&first).await;
    let second = Upstream::with_key(Key::new("second")).await;
    edge.learn("identity", &[second.address]);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let answer = edge
            .http
            .get(format!("{}/api/v1/orders", edge.url))
            .bearer_auth(second.key.token())
            .send()
            .await
            .unwrap();
        if answer.status() == 200 {
            break;
        }
        assert!(std::time::Instant::now() < end, "the new key was never learned: {}", edge.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
