//! Bodies without end: they flow through, at the pace of the slowest, and Envoy stays small.

use std::sync::atomic::Ordering;

use serde_json::Value;

use crate::envoy::Edge;
use crate::upstream::Upstream;

#[tokio::test(flavor = "multi_thread")]
async fn a_large_feed_flows_through_with_little_memory() {
    const CHUNK: usize = 256 * 1024;
    const CHUNKS: usize = 800;
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let before = edge.memory();
    let chunk = bytes::Bytes::from(vec![b'x'; CHUNK]);
    let chunks = futures::stream::iter((0..CHUNKS).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let sending = edge
        .http
        .post(format!("{}/api/v1/feeds:import", edge.url))
        .bearer_auth(upstream.key.token())
        .header("content-type", "application/xml")
        .body(reqwest::Body::wrap_stream(chunks))
        .send();
    tokio::pin!(sending);
    let mut most = before;
    let answer = loop {
        tokio::select! {
            answer = &mut sending => break answer.unwrap(),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => most = most.max(edge.memory()),
        }
    };
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json::<Value>().await.unwrap()["imported"], 1);
    let seen = &upstream.seen;
    assert_eq!(seen.bytes.load(Ordering::Relaxed), (CHUNK * CHUNKS) as u64);
    assert!(seen.largest.load(Ordering::Relaxed) <= 1 << 20, "a piece is larger than the contract says");
    assert!(seen.pieces.load(Ordering::Relaxed) > 100, "it was gathered before it was passed on");
    assert!(most - before < 48 * 1024, "Envoy grew by {} KiB", most - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_comes_through_whole() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    let answer = edge.http.get(format!("{}/api/v1/products?pageSize=190", edge.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.len() > 3_500_000, "{} bytes", text.len());
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["products"].as_array().unwrap().len(), 190);
}
