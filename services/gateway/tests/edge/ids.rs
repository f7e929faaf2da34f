//! Every request has a name, and so has what it is part of; both can be quoted.

use serde_json::Value;

use crate::envoy::Edge;
use crate::reach::ID;
use crate::upstream::Upstream;

async fn ask(edge: &Edge, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let request = edge.http.get(format!("{}{path}", edge.url));
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
}

fn ids(answer: &reqwest::Response) -> [String; 2] {
    ["x-request-id", "x-correlation-id"].map(|name| {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0].to_str().unwrap().to_owned()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sane_id_is_kept_another_replaced_and_both_go_on_and_come_back() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let long = "x".repeat(129);
    let insane = ["a b", "<script>", "x\"y", "-x", "ы", long.as_str()];
    let told = || {
        let metadata = upstream.seen.metadata.lock().unwrap();
        let text = |name| metadata.get(name).unwrap().to_str().unwrap().to_owned();
        assert!(metadata.get("x-artel-asked-id").is_none(), "{metadata:?}");
        [text("x-request-id"), text("x-correlation-id")]
    };
    let path = "/api/v1/products";

    let answer = ask(&edge, path, &[]).await;
    let [request, correlation] = ids(&answer);
    assert_eq!(request.len(), 36, "{request}");
    assert_eq!(request, correlation, "who says nothing is part of nothing else");
    assert_eq!(told(), ids(&answer));

    let sane = ["order-17/retry:2", "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f", &"x".repeat(128)];
    for sane in sane {
        let answer = ask(&edge, path, &[("x-request-id", sane), ("x-correlation-id", "checkout.5")]).await;
        assert_eq!(ids(&answer), [sane, "checkout.5"]);
        assert_eq!(told(), [sane, "checkout.5"]);
    }
    let answer = ask(&edge, path, &[("x-request-id", "mine")]).await;
    assert_eq!(ids(&answer), ["mine", "mine"]);
    for insane in insane {
        let answer = ask(&edge, path, &[("x-request-id", insane), ("x-correlation-id", insane)]).await;
        let [request, correlation] = ids(&answer);
        assert_eq!((request.len(), &correlation), (36, &request), "{insane}");
        assert_eq!(told(), ids(&answer), "{insane}");
    }
    // The name under which Envoy sets it aside is nobody's.
    let answer = ask(&edge, path, &[("x-artel-asked-id", "smuggled")]).await;
    assert_eq!(ids(&answer)[0].len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_holds_the_name_of_its_request_whoever_found_it() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    edge.learn("notify", &[]);
    let order = format!("/api/v1/orders/{ID}");
    // Paths that are not there, methods, tokens, queries, services that are away.
    for (path, status) in [
        ("/nothing", 404),
        ("/api/v1/auth/login", 405),
        ("/api/v1/orders", 401),
        (order.as_str(), 401),
        ("/api/v1/products?nothing=1", 400),
    ] {
        let answer = ask(&edge, path, &[("x-request-id", "find-me"), ("x-correlation-id", "all")]).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(ids(&answer), ["find-me", "all"], "{path}");
        let status: Value = answer.json().await.unwrap();
        let details = status["details"].as_array().unwrap();
        let info = details.iter().find(|it| it["@type"] == "type.googleapis.com/google.rpc.RequestInfo");
        assert_eq!(info.unwrap()["requestId"], "find-me", "{path}: {status}");
    }
    let metadata = crate::errors::call(&edge, "/artel.order.v1.OrderService/ListOrders").await;
    assert!(metadata.metadata().contains_key("x-request-id"), "{metadata:?}");
    assert!(metadata.metadata().contains_key("x-correlation-id"), "{metadata:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_has_both_names() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(|config| config.access_log_percent = 100).await.open(&upstream).await;
    ask(
        &edge,
        "/api/v1/products?search=secret",
        &[("x-request-id", "logged-1"), ("x-correlation-id", "all-1")],
    )
    .await;
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let line = loop {
        if let Some(line) = edge.log().lines().find(|line| line.contains("logged-1")) {
            break line.to_owned();
        }
        assert!(std::time::Instant::now() < end, "it was never logged: {}", edge.log());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["request_id"], &line["correlation_id"]), (&"logged-1".into(), &"all-1".into()));
    assert_eq!((&line["path"], &line["status"]), (&"/api/v1/products".into(), &200.into()));
    assert!(!line.to_string().contains("secret"), "the query stands in no log: {line}");
}
