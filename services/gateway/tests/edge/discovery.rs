//! Services come and go, and nobody who calls notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use artel_proto::catalog::ListCategoriesRequest;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use artel_proto::order::ListOrdersRequest;
use artel_proto::order::order_service_client::OrderServiceClient;
use tonic::Request;

use crate::envoy::Edge;
use crate::upstream::Upstream;

/// Calls without pause, and what became of them.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    callers: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(edge: &Edge) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..8)
            .map(|number| {
                let (stop, calls) = (stop.clone(), calls.clone());
                let (channel, http) = (edge.channel(), edge.http.clone());
                let url = format!("{}/api/v1/categories", edge.url);
                tokio::spawn(async move {
                    let mut client = CatalogServiceClient::new(channel);
                    let mut failed = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let failure = if number % 2 == 0 {
                            client
                                .list_categories(ListCategoriesRequest {})
                                .await
                                .err()
                                .map(|it| it.to_string())
                        } else {
                            match http.get(&url).send().await {
                                Ok(answer) if answer.status() == 200 => None,
                                Ok(answer) => Some(answer.text().await.unwrap_or_default()),
                                Err(error) => Some(error.to_string()),
                            }
                        };
                        failed.extend(failure);
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                    failed
                })
            })
            .collect();
        Self { stop, calls, callers }
    }

    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        for caller in self.callers {
            failed.extend(caller.await.unwrap());
        }
        (self.calls.load(Ordering::Relaxed), failed)
    }
}

/// Waits until calls reach an upstream.
async fn reached(upstream: &Upstream) {
    let (before, end) = (upstream.calls(), Instant::now() + Duration::from_secs(10));
    while upstream.calls() < before + 50 {
        assert!(Instant::now() < end, "nothing reached it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_and_leave_under_load_and_no_call_fails() {
    let home = Upstream::start().await;
    let edge = Edge::before(&home).await;
    edge.wait_for("/api/v1/categories").await;
    let mut current = Upstream::start().await;
    edge.learn("catalog", &[current.address]);
    reached_after(&edge, &current).await;
    let load = Load::start(&edge);
    for _ in 0..5 {
        let next = Upstream::start().await;
        edge.learn("catalog", &[current.address, next.address]);
        reached(&next).await;
        // It leaves Consul first, then ends what it has begun.
        edge.learn("catalog", &[next.address]);
        wait_until_unused(&current).await;
        current.drain().await;
        current = next;
    }
    let (calls, failed) = load.end().await;
    assert!(failed.is_empty(), "{} of {calls} failed, the first: {}", failed.len(), failed[0]);
    assert!(calls > 500, "only {calls} calls");
}

/// Calls the edge until one of the calls reaches an upstream.
async fn reached_after(edge: &Edge, upstream: &Upstream) {
    let end = Instant::now() + Duration::from_secs(10);
    while upstream.calls() == 0 {
        assert!(Instant::now() < end, "nothing reached it");
        edge.wait_for("/api/v1/categories").await;
    }
}

async fn wait_until_unused(upstream: &Upstream) {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let before = upstream.calls();
        tokio::time::sleep(Duration::from_millis(60)).await;
        if upstream.calls() == before {
            return;
        }
        assert!(Instant::now() < end, "it is still called");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_dies_without_a_word_costs_no_idempotent_call() {
    let home = Upstream::start().await;
    let edge = Edge::before(&home).await;
    let (stays, dies) = (Upstream::start().await, Upstream::start().await);
    edge.learn("catalog", &[stays.address, dies.address]);
    reached_after(&edge, &dies).await;
    let load = Load::start(&edge);
    reached(&dies).await;
    reached(&stays).await;
    dies.kill();
    // Consul has not noticed yet: its address is still there.
    for _ in 0..5 {
        reached(&stays).await;
    }
    let (calls, failed) = load.end().await;
    assert!(
        failed.is_empty(),
        "{} of {calls} failed, the first: {}\nEnvoy said: {}",
        failed.len(),
        failed[0],
        edge.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_is_finished_by_an_instance_that_left() {
    let home = Upstream::start().await;
    let edge = Edge::before(&home).await;
    let leaves = Upstream::start().await;
    edge.learn("order", &[leaves.address]);
    let token = format!("Bearer {}", home.key.token());
    let client = OrderServiceClient::new(edge.channel());
    let ask = |millis| {
        let mut client = client.clone();
        let mut request = Request::new(ListOrdersRequest { page_size: millis, ..Default::default() });
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        async move { client.list_orders(request).await }
    };
    let end = Instant::now() + Duration::from_secs(10);
    while leaves.calls() == 0 {
        assert!(Instant::now() < end, "no call arrived");
        ask(0).await.unwrap();
    }
    let before = leaves.calls();
    let call = tokio::spawn(ask(1500));
    while leaves.calls() == before {
        assert!(Instant::now() < end, "the call never arrived");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    edge.learn("order", &[]);
    edge.wait_until("/api/v1/products", 200).await;
    let drained = tokio::spawn(leaves.drain());
    call.await.unwrap().expect("the call was cut");
    drained.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_takes_all_it_is_told() {
    let upstream = Upstream::start().await;
    let edge = Edge::before(&upstream).await;
    for kind in ["cluster_manager.cds", "listener_manager.lds", "http.edge.rds.edge", "cluster.order"] {
        let name = format!("{kind}.update_rejected");
        assert_eq!(edge.stat(&name).await, 0, "{name}: {}", edge.log());
    }
    let log = edge.log();
    assert!(!log.contains("deprecated") && !log.contains("[critical]"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_anything_before_every_service_was_asked_for() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(|_| {}).await;
    let hosts: Vec<String> = edge.control.hosts().iter().cloned().collect();
    let (last, first) = hosts.split_last().unwrap();
    for host in first {
        edge.learn(host, &[upstream.address]);
    }
    assert!(edge.control.snapshots().borrow().is_none());
    edge.learn(last, &[]);
    assert!(edge.control.snapshots().borrow().is_some());
    edge.wait_for("/.well-known/jwks.json").await;
}
