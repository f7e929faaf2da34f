//! Answers are made smaller for who asks for it, where it helps and gives nothing away.

use crate::envoy::Edge;
use crate::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
async fn large_json_is_compressed_for_who_takes_it() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let get = async |path: &str, accept: &str| {
        let request = edge.http.get(format!("{}{path}", edge.url)).header("accept-encoding", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let text = |name| answer.headers().get(name).map(|value| value.to_str().unwrap().to_lowercase());
        let (encoding, vary) = (text("content-encoding"), text("vary"));
        (encoding, vary, answer.bytes().await.unwrap())
    };
    let large = "/api/v1/products?pageSize=190";
    let (encoding, vary, plain) = get(large, "identity").await;
    assert_eq!(encoding, None);
    assert!(vary.unwrap().contains("accept-encoding"), "a cache must know that there is another form");
    for (accept, expected) in
        [("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br", "br"), ("gzip;q=1, br;q=0.5", "gzip")]
    {
        let (encoding, vary, bytes) = get(large, accept).await;
        assert_eq!(encoding.as_deref(), Some(expected), "{accept}");
        assert!(vary.unwrap().contains("accept-encoding"), "{accept}");
        assert!(bytes.len() * 10 < plain.len(), "{accept}: {} of {}", bytes.len(), plain.len());
        assert_eq!(bytes.starts_with(&[0x1f, 0x8b]), expected == "gzip");
    }
    let (encoding, ..) = get("/api/v1/categories", "gzip").await;
    assert_eq!(encoding, None, "too small to be worth it");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_grpc_are_not_compressed() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let body = serde_json::json!({"email": "anna@example.com", "password": "correct horse"});
    let login = edge.http.post(format!("{}/api/v1/auth/login", edge.url)).json(&body);
    let grpc = edge
        .http
        .post(format!("{}/artel.catalog.v1.CatalogService/ListProducts", edge.url))
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        // page_size = 190
        .body(vec![0, 0, 0, 0, 3, 0x40, 0xbe, 1]);
    for request in [login, grpc] {
        let answer = request.header("accept-encoding", "gzip, br").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("content-encoding"), "{answer:?}");
        assert!(answer.bytes().await.unwrap().len() > 4000);
    }
}
