//! What is not kept is told so, and says what to do.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Body, Response};
use serde_json::Value;

use crate::world::{World, mesh, serve};

async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["details"][0]["domain"], "artel", "{body}");
    assert!(!body["message"].as_str().unwrap().is_empty());
    (status, body["details"][0]["reason"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_nobody_waits_for_or_is_too_large_is_refused_and_leaves_nothing() {
    let world = World::with("max_body_bytes = 1000").await;
    let answer = world.post("stranger").body("x").send().await.unwrap();
    assert_eq!(refusal(answer).await, (404, "SOURCE_NOT_FOUND".to_owned()));
    let answer = world.http.delete(format!("{}/webhooks/bank", world.url)).send().await.unwrap();
    assert_eq!(refusal(answer).await, (405, "METHOD_NOT_ALLOWED".to_owned()));
    let answer = world.post("bank").body(vec![0; 1001]).send().await.unwrap();
    assert_eq!(refusal(answer).await, (413, "REQUEST_TOO_LARGE".to_owned()));
    // Without a length, too, where only reading shows it.
    let pieces = (0..11).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 100])));
    let body = Body::wrap_stream(tokio_stream::iter(pieces));
    let answer = world.post("bank").body(body).send().await.unwrap();
    assert_eq!(refusal(answer).await, (413, "REQUEST_TOO_LARGE".to_owned()));
    assert_eq!((world.count("webhooks").await, world.count("outbox").await), (0, 0));
    assert_eq!(world.post("bank").body(vec![0; 1000]).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_sender_that_holds_the_door_does_not_hold_it_for_long() {
    let world = World::with("max_under_way = 1\nbody_timeout_ms = 2000").await;
    let (open, pieces) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let stuck =
        world.post("bank").body(Body::wrap_stream(tokio_stream::wrappers::ReceiverStream::new(pieces)));
    let stuck = tokio::spawn(stuck.send());
    open.send(Ok(Bytes::from_static(b"a"))).await.unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let answer = loop {
        let answer = world.post("sms").body("x").send().await.unwrap();
        if answer.status() == 503 {
            break answer;
        }
        assert!(std::time::Instant::now() < end, "nobody is told that there is no room");
    };
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refusal(answer).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
    assert_eq!(refusal(stuck.await.unwrap().unwrap()).await, (408, "BODY_TIMEOUT".to_owned()));
    drop(open);
    assert_eq!(world.post("sms").body("x").send().await.unwrap().status(), 200, "there is room again");
}

/// What is not kept is not answered with a yes.
#[tokio::test]
async fn without_storage_nothing_is_taken() {
    let mesh = mesh("keep_timeout_ms = 500").await;
    let url = serve(&mesh).await;
    let answer = reqwest::Client::new().post(format!("{url}/webhooks/bank")).body("x").send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(refusal(answer).await, (503, "SERVICE_UNAVAILABLE".to_owned()));
}
