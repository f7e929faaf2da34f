//! Idempotency: what is sent twice happens once.

use artel_proto::catalog::Product;
use artel_proto::persist::{CommitRequest, RecallRequest};
use tonic::Code;

use crate::support::*;

fn taking(id: &str, key: &str, digest: &[u8]) -> CommitRequest {
    CommitRequest {
        mutations: vec![adjust::<Product>(id, "stock", -1, Some(0))],
        idempotency: once(key, digest, b"answer"),
        ..CommitRequest::default()
    }
}

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 5);
    client.commit(vec![insert(&product)]).await.unwrap();
    let first = client.send(taking(&product.id, "k", b"d")).await.unwrap();
    assert!(!first.replayed && first.results[0].version == 2);
    let second = client.send(taking(&product.id, "k", b"d")).await.unwrap();
    assert!(second.replayed && second.results.is_empty() && second.answer == "answer");
    assert_eq!(second.position, first.position);
    let error = client.send(taking(&product.id, "k", b"other")).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    // Without a digest, the batch itself is what must be the same.
    client.send(taking(&product.id, "batch", b"")).await.unwrap();
    assert!(client.send(taking(&product.id, "batch", b"")).await.unwrap().replayed);
    let other = CommitRequest {
        mutations: vec![adjust::<Product>(&product.id, "stock", -2, Some(0))],
        ..taking(&product.id, "batch", b"")
    };
    assert_eq!(client.send(other).await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 3);
    // A key is a workspace's own.
    let elsewhere = CommitRequest { idempotency: once("k", b"other", b""), ..CommitRequest::default() };
    assert!(!bench.client_in(OTHER).send(elsewhere).await.unwrap().replayed);
}

#[tokio::test]
async fn a_commit_that_failed_leaves_its_key_free() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 0);
    client.commit(vec![insert(&product)]).await.unwrap();
    assert_eq!(
        client.send(taking(&product.id, "k", b"d")).await.unwrap_err().get("condition"),
        Some("floor")
    );
    client.commit(vec![adjust::<Product>(&product.id, "stock", 1, None)]).await.unwrap();
    assert!(!client.send(taking(&product.id, "k", b"d")).await.unwrap().replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_with_one_key_happen_once() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    for round in 0..10 {
        let tasks = (0..16).map(|_| {
            let (client, request) = (client.clone(), taking(&product.id, &format!("k{round}"), b"d"));
            tokio::spawn(async move { client.send(request).await.unwrap() })
        });
        let answers = futures::future::try_join_all(tasks).await.unwrap();
        assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
        assert!(answers.iter().all(|answer| answer.answer == "answer"));
    }
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 90);
}

#[tokio::test]
async fn recall_gives_what_a_key_answered() {
    let bench = Bench::new().await;
    let client = bench.client();
    let recall = async |key: &str, digest: &'static [u8]| {
        let request = RecallRequest { key: key.into(), digest: digest.into() };
        answer(client.grpc.clone().recall(request).await)
    };
    assert!(!recall("k", b"").await.unwrap().found);
    let request = CommitRequest { idempotency: once("k", b"d", b"answer"), ..CommitRequest::default() };
    client.send(request).await.unwrap();
    let found = recall("k", b"d").await.unwrap();
    assert!(found.found && found.answer == "answer");
    assert!(recall("k", b"").await.unwrap().found);
    assert_eq!(recall("k", b"other").await.unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
}
