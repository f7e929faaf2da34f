//! The door of a whole mesh: HTTPS, limits that an operator changes, names that come back.

use reqwest::{Certificate, Client};
use serde_json::{Value, json};

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
