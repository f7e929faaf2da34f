//! The door of a whole mesh: HTTPS, limits that an operator changes, names that go all the way and come back.

use reqwest::{Certificate, Client};
use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

#[tokio::test]
async fn https_is_open_to_who_trusts_the_local_authority() {
    let mesh = Mesh::get();
    let authority = std::fs::read(mesh.place("certificateAuthority")).unwrap();
    let trusting =
        Client::builder().tls_certs_only([Certificate::from_pem(&authority).unwrap()]).build().unwrap();
    let path = format!("{}/api/v1/categories", mesh.place("apiTls"));
    for path in [path.clone(), path.replace("localhost", "127.0.0.1")] {
        let answer = trusting.get(&path).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert!(!answer.headers().contains_key("strict-transport-security"), "not on a developer's machine");
    }
    assert!(mesh.http.get(&path).send().await.is_err(), "nobody else knows it");
}

#[tokio::test]
async fn limits_are_changed_while_the_mesh_runs() {
    let mesh = Mesh::get();
    // An address of its own: all of 127/8 is this machine.
    let http = Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 77])).build().unwrap();
    let body = json!({"email": format!("{}@example.com", unique("nobody")), "password": "wrong password"});
    let sign_in =
        async || http.post(format!("{}/api/v1/auth/login", mesh.api)).json(&body).send().await.unwrap();
    let limit = |answer: &reqwest::Response| answer.headers()["ratelimit-limit"].to_str().unwrap().to_owned();
    assert_eq!(sign_in().await.status(), 401);
    mesh.artel(&["config", "set", "gateway.limits.sign_in", "2/3600s"]);
    let refused = eventually("the limit to hold", PATIENCE, async || {
        let answer = sign_in().await;
        (answer.status() == 429).then_some(answer)
    })
    .await;
    assert_eq!(limit(&refused), "2");
    let status: Value = refused.json().await.unwrap();
    assert_eq!(status["details"][0]["reason"], "RATE_LIMITED", "{status}");
    // A bad value is refused, and the old one stays.
    let output = mesh.command(&["config", "set", "gateway.limits.sign_in", "many"]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("600/60s"));
    assert_eq!(sign_in().await.status(), 429);
    mesh.artel(&["config", "unset", "gateway.limits.sign_in"]);
    eventually("the limit to be lifted", PATIENCE, async || (sign_in().await.status() == 401).then_some(()))
        .await;
}

#[tokio::test]
async fn what_a_request_is_part_of_goes_through_calls_and_events_and_comes_back() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Named "), 100, 500).await;
    let anna = Person::register(&mesh, "en").await;
    mesh.artel(&["config", "set", "mesh.log", "info,artel_handle=debug"]);
    let order = async || {
        let (id, of) = (unique("request-"), unique("checkout-"));
        let answer = mesh
            .http
            .post(format!("{}/api/v1/orders", mesh.api))
            .bearer_auth(&anna.token)
            .header("x-request-id", &id)
            .header("x-correlation-id", &of)
            .json(&json!({"items": [{"productId": product, "quantity": 1}]}))
            .send()
            .await
            .unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("x-request-id"), header("x-correlation-id")), (id.clone(), of.clone()));
        (id, of)
    };
    let said = |service: &str, words: &[&str]| {
        let log = mesh.log(service);
        log.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    // Until the services have taken the setting.
    let of = eventually("the order's log to hold both names", PATIENCE, async || {
        let (id, of) = order().await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        said("order", &[&id, &of]).then_some(of)
    })
    .await;
    eventually("persist's to hold it, as order called", PATIENCE, async || {
        said("persist", &[&of, "order"]).then_some(())
    })
    .await;
    let (_, of) = order().await;
    eventually("persist's to hold it, as notify called that heard of the order", PATIENCE, async || {
        said("persist", &[&of, "notify"]).then_some(())
    })
    .await;
    mesh.artel(&["config", "unset", "mesh.log"]);

    let refused = mesh
        .http
        .get(format!("{}/api/v1/orders/0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f", mesh.api))
        .bearer_auth(&anna.token)
        .header("x-request-id", "quote-me")
        .send()
        .await
        .unwrap();
    let status: Value = refused.json().await.unwrap();
    let details = status["details"].as_array().unwrap();
    assert!(details.iter().any(|detail| detail["requestId"] == "quote-me"), "{status}");
}
