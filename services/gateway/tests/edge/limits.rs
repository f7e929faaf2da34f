//! So many requests and no more: by address, by person, by workspace, and at the entrance.

use std::time::{Duration, Instant};

use artel_proto::catalog::ListCategoriesRequest;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::envoy::Edge;
use crate::redis::Redis;
use crate::tokens::{claims, now};
use crate::upstream::Upstream;

/// A token of a person of the default workspace.
fn token(upstream: &Upstream, person: &str) -> String {
    let mut claims = claims();
    claims["sub"] = json!(person);
    upstream.key.sign(claims)
}

fn number(headers: &HeaderMap, name: &str) -> u64 {
    headers[name].to_str().unwrap().parse().unwrap()
}

async fn sign_in(edge: &Edge, http: &reqwest::Client) -> reqwest::Response {
    let body = json!({"email": "anna@example.com", "password": "correct horse"});
    http.post(format!("{}/api/v1/auth/login", edge.url)).json(&body).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_gets_what_it_may_and_is_told_when_there_is_more() {
    const MOST: u64 = 60;
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.per_address = format!("{MOST}/3600s").parse().unwrap();
    };
    let edge = Edge::start_with(&redis.url, adjust).await.open(&upstream).await;
    let (http, path) = (edge.http_from(9), format!("{}/api/v1/categories", edge.url));
    for left in (0..MOST).rev() {
        // Whatever a caller says about where it is, Envoy looks for itself.
        let answer = http.get(&path).header("x-forwarded-for", format!("9.9.9.{left}")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(number(answer.headers(), "ratelimit-limit"), MOST);
        assert_eq!(number(answer.headers(), "ratelimit-remaining"), left);
        assert!(number(answer.headers(), "ratelimit-reset") <= 3600);
        assert_eq!(answer.headers()["ratelimit-policy"], "60;w=3600;comment=\"address\"");
    }
    let before = upstream.calls();
    let answer = http
        .get(&path)
        .header("x-forwarded-for", "9.9.9.9")
        .header("x-envoy-external-address", "9.9.9.9")
        .header("x-request-id", "over-the-limit")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 429);
    let wait = number(answer.headers(), "retry-after");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(number(answer.headers(), "ratelimit-remaining"), 0);
    let status: Value = answer.json().await.unwrap();
    assert_eq!(status["code"], 8, "{status}");
    assert_eq!(status["details"][0]["reason"], "RATE_LIMITED", "{status}");
    assert_eq!(status["details"][0]["metadata"]["policy"], "60;w=3600;comment=\"address\"", "{status}");
    assert_eq!(status["details"][1]["retryDelay"], format!("{wait}s"), "{status}");
    assert_eq!(status["details"][2]["requestId"], "over-the-limit", "{status}");
    assert!(status["message"].as_str().unwrap().contains("network address"), "{status}");

    let endpoint = tonic::transport::Endpoint::from_shared(edge.url.clone()).unwrap();
    let channel = endpoint.local_address(Some([127, 0, 0, 9].into())).connect_lazy();
    let status =
        CatalogServiceClient::new(channel).list_categories(ListCategoriesRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("Try again in"), "{status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "RATE_LIMITED");
    assert!(status.get_details_retry_info().unwrap().retry_delay.unwrap() >= Duration::from_secs(1));

    let answer = http
        .post(format!("{}/artel.catalog.v1.CatalogService/ListCategories", edge.url))
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(vec![0; 5])
        .send()
        .await
        .unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"8".parse().unwrap()));
    assert!(answer.headers()["grpc-message"].to_str().unwrap().contains("network address"));
    assert!(answer.headers().contains_key("grpc-status-details-bin"));
    assert_eq!(upstream.calls(), before, "a refused request reached a service");

    let other = edge.http_from(10).get(&path).send().await.unwrap();
    assert_eq!((other.status().as_u16(), number(other.headers(), "ratelimit-remaining")), (200, MOST - 1));
}

/// Requests with a JSON body are counted where their body is read, the others apart: by the same buckets, refused alike.
#[tokio::test(flavor = "multi_thread")]
async fn requests_with_and_without_a_body_are_counted_together() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.per_address = "1000/3600s".parse().unwrap();
        config.limits.per_user = "4/3600s".parse().unwrap();
    };
    let edge = Edge::start_with(&redis.url, adjust).await.open(&upstream).await;
    let anna = token(&upstream, "anna");
    let url = format!("{}/api/v1/orders", edge.url);
    let list = async || edge.http.get(&url).bearer_auth(&anna).send().await.unwrap();
    let order = json!({"items": [{"productId": crate::reach::ID, "quantity": 1}]});
    let place = async |body: &Value| {
        let request = edge.http.post(&url).bearer_auth(&anna).header("x-request-id", "my-order").json(body);
        request.send().await.unwrap()
    };
    assert_eq!(number(place(&order).await.headers(), "ratelimit-remaining"), 3);
    assert_eq!(number(list().await.headers(), "ratelimit-remaining"), 2);
    // A wrong body counts, too, and is told how much is left.
    let wrong = place(&json!({"nothing": 1})).await;
    assert_eq!((wrong.status().as_u16(), number(wrong.headers(), "ratelimit-remaining")), (400, 1));
    let fine = place(&order).await;
    assert_eq!((fine.status().as_u16(), number(fine.headers(), "ratelimit-remaining")), (200, 0));
    assert_eq!(fine.headers()["ratelimit-policy"], "4;w=3600;comment=\"user\"");

    let before = upstream.calls();
    let (with, without) = (place(&order).await, list().await);
    assert_eq!((with.status().as_u16(), without.status().as_u16()), (429, 429));
    for name in ["ratelimit-limit", "ratelimit-remaining", "ratelimit-policy", "content-type"] {
        assert_eq!(with.headers()[name], without.headers()[name], "{name}");
    }
    let wait = number(with.headers(), "retry-after");
    let [mut with, mut without]: [Value; 2] = [with.json().await.unwrap(), without.json().await.unwrap()];
    assert_eq!(with["details"][2]["requestId"], "my-order");
    assert_eq!(with["details"][1]["retryDelay"], format!("{wait}s"));
    assert_eq!(with["message"], format!("You sent too many requests. Try again in {wait} s."));
    for status in [&mut with, &mut without] {
        // What differs from one request to the next.
        status["message"] = Value::Null;
        status["details"][1]["retryDelay"] = Value::Null;
        status["details"][2]["requestId"] = Value::Null;
    }
    assert_eq!(with, without);
    assert_eq!(upstream.calls(), before, "a refused request reached a service");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_a_workspace_are_counted_by_their_verified_token() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.per_user = "5/3600s".parse().unwrap();
        config.limits.per_workspace = "8/3600s".parse().unwrap();
        config.limits.methods = vec!["artel.identity.v1.IdentityService/GetMe user 1/3600s".parse().unwrap()];
    };
    let edge = Edge::start_with(&redis.url, adjust).await.open(&upstream).await;
    let [anna, boris] = ["anna", "boris"].map(|person| token(&upstream, person));
    let ask = async |token: &str, path: &str| {
        edge.http.get(format!("{}{path}", edge.url)).bearer_auth(token).send().await.unwrap()
    };
    let policy = |answer: &reqwest::Response| {
        (answer.status().as_u16(), answer.headers()["ratelimit-policy"].to_str().unwrap().to_owned())
    };
    // The method has a limit besides.
    assert_eq!(ask(&anna, "/api/v1/users/me").await.status(), 200);
    let refused = ask(&anna, "/api/v1/users/me").await;
    assert_eq!(policy(&refused), (429, "1;w=3600;comment=\"method\"".to_owned()));
    for _ in 0..4 {
        assert_eq!(ask(&anna, "/api/v1/orders").await.status(), 200);
    }
    for _ in 0..5 {
        let refused = ask(&anna, "/api/v1/products").await;
        assert_eq!(policy(&refused), (429, "5;w=3600;comment=\"user\"".to_owned()));
    }
    // What was refused took nothing from the workspace: of its eight, three are left.
    for left in [2, 1, 0] {
        let answer = ask(&boris, "/api/v1/orders").await;
        assert_eq!((answer.status().as_u16(), number(answer.headers(), "ratelimit-remaining")), (200, left));
    }
    assert_eq!(
        policy(&ask(&boris, "/api/v1/orders").await),
        (429, "8;w=3600;comment=\"workspace\"".to_owned())
    );
    // Who is not signed in is of no workspace, and cannot say who they are.
    let answer = edge
        .http
        .get(format!("{}/api/v1/products", edge.url))
        .header("x-user", "anna")
        .header("user", "anna")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entrance_has_limits_of_its_own_and_does_not_look_at_tokens() {
    let (redis, upstream) = (Redis::start(), Upstream::start().await);
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.sign_in = "3/3600s".parse().unwrap();
    };
    let edge = Edge::start_with(&redis.url, adjust).await.open(&upstream).await;
    let mut expired = claims();
    expired["exp"] = json!(now() - 60);
    let old = upstream.key.sign(expired);
    for token in [old.as_str(), "nonsense", old.as_str()] {
        let body = json!({"email": "anna@example.com", "password": "correct horse"});
        let answer = edge
            .http
            .post(format!("{}/api/v1/auth/login", edge.url))
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "who has an old token is here to get a new one");
        assert!(!upstream.seen.metadata.lock().unwrap().contains_key("authorization"));
    }
    let before = upstream.calls();
    let refused = sign_in(&edge, &edge.http).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["ratelimit-policy"], "3;w=3600;comment=\"sign_in\"");
    assert_eq!(upstream.calls(), before, "no password was looked at");
    // Nothing else is closed, and nobody else.
    let other = edge.http.get(format!("{}/api/v1/products", edge.url)).send().await.unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(sign_in(&edge, &edge.http_from(9)).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_limits_hold_and_the_door_stays_open() {
    let (mut redis, upstream) = (Redis::start(), Upstream::start().await);
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.sign_in = "6/3600s".parse().unwrap();
        config.limits.per_address = "1000/3600s".parse().unwrap();
    };
    let edge = Edge::start_with(&redis.url, adjust).await.open(&upstream).await;
    // There is another gateway, of which Envoy knows nothing here.
    edge.learn("gateway", &[upstream.address, ([127, 0, 0, 1], 1).into()]);
    let http = edge.http_from(9);
    assert_eq!(number(sign_in(&edge, &http).await.headers(), "ratelimit-remaining"), 5);
    redis.kill();
    let path = format!("{}/api/v1/products", edge.url);
    let answer = http.get(&path).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), number(answer.headers(), "ratelimit-limit")), (200, 1000));
    // Two gateways without Redis: three sign-ins each.
    for left in [2, 1, 0] {
        let answer = sign_in(&edge, &http).await;
        assert_eq!((answer.status().as_u16(), number(answer.headers(), "ratelimit-remaining")), (200, left));
    }
    assert_eq!(sign_in(&edge, &http).await.status(), 429);
    assert_eq!(http.get(&path).send().await.unwrap().status(), 200);
    redis.resume();
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = sign_in(&edge, &http).await;
        if number(answer.headers(), "ratelimit-limit") == 6 {
            assert_eq!((answer.status().as_u16(), number(answer.headers(), "ratelimit-remaining")), (200, 4));
            return;
        }
        assert_eq!(answer.status(), 429, "its share is used up");
        assert!(Instant::now() < end, "they never counted together again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_nothing_is_counted_and_the_door_stays_open() {
    let upstream = Upstream::start().await;
    let adjust = |config: &mut artel_gateway::GatewayConfig| {
        config.limits.sign_in = "2/3600s".parse().unwrap();
    };
    let edge = Edge::start(adjust).await.open(&upstream).await;
    for expected in [200, 200, 429] {
        assert_eq!(sign_in(&edge, &edge.http).await.status(), expected);
    }
    edge.end_gateway();
    let end = Instant::now() + Duration::from_secs(20);
    while sign_in(&edge, &edge.http).await.status() != 200 {
        assert!(Instant::now() < end, "the door stayed shut");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..5 {
        assert_eq!(sign_in(&edge, &edge.http).await.status(), 200);
    }
    // Signing in has a body: it is counted where that is read.
    assert!(edge.stat("cluster.identity.ext_authz.failure_mode_allowed").await > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_switches_the_limits_off_while_envoy_runs() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let path = format!("{}/api/v1/products", edge.url);
    let counted =
        async || edge.http.get(&path).send().await.unwrap().headers().contains_key("ratelimit-limit");
    assert!(counted().await);
    let mut config = edge.config.clone();
    config.limits.on = false;
    config.cors_origins = vec!["https://new.example".to_owned()];
    edge.control.configure(&config);
    let end = Instant::now() + Duration::from_secs(20);
    while counted().await {
        assert!(Instant::now() < end, "it was counted on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let answer = edge.http.get(&path).header("origin", "https://new.example").send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://new.example");
    assert_eq!(edge.stat("listener_manager.listener_modified").await, 0, "the listener stayed as it was");
}
