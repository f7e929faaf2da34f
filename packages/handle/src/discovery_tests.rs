//! Services that find each other, and what they say of themselves, over a stand-in for Consul.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use artel_proto::order::order_service_client::OrderServiceClient;
use artel_proto::order::order_service_server::{OrderService, OrderServiceServer};
use artel_proto::order::{GetOrderRequest, OrderPlaced};
use artel_queue::Failure;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::asked_tests::Asked;
use crate::service::Service;
use crate::testing::LocalMesh;
use crate::{Delivery, Listener, User};

const ID: &str = "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f";
const SOON: Duration = Duration::from_secs(10);

/// How often a copy was asked.
type Count = Arc<AtomicUsize>;

/// Counts what it is asked.
fn orders(count: &Count) -> OrderServiceServer<impl OrderService> {
    let count = Arc::clone(count);
    OrderServiceServer::new(Asked(move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    }))
}

struct Idle;

#[tonic::async_trait]
impl Listener<OrderPlaced> for Idle {
    async fn hear(&self, _: &Delivery, _: OrderPlaced) -> Result<(), Failure> {
        Ok(())
    }
}

/// Orders, and a copy of them that runs.
struct World {
    mesh: LocalMesh,
}

impl World {
    async fn new() -> Self {
        // Nothing listens there.
        Self { mesh: LocalMesh::start("rabbitmq = 'amqp://127.0.0.1:9'").await.unwrap() }
    }

    async fn copy(&self) -> (SocketAddr, Count) {
        let count = Count::default();
        let service = Service::new("order").grpc(orders(&count));
        (self.mesh.serve(service).await.unwrap(), count)
    }

    async fn ask(&self) -> Result<(), Status> {
        let host = self.mesh.host("notify");
        let mut call = host.call();
        call.user = Some(User { id: "anna".into(), roles: Vec::new(), locale: "ru".into() });
        call.deadline = Some(Instant::now() + SOON);
        let mut client = OrderServiceClient::new(host.channel("order"));
        client.get_order(call.request(GetOrderRequest { id: ID.into() })).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_last_is_good_while_consul_is_away() {
    let world = World::new().await;
    let (first, _) = world.copy().await;
    world.ask().await.unwrap();
    world.mesh.consul_is_away(true);
    // While it says nothing, nobody is taken out.
    world.mesh.remove(first);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        world.ask().await.unwrap();
    }
    // The control: what it says when it is back counts, also that nobody is there.
    world.mesh.consul_is_away(false);
    let begin = Instant::now();
    while let Ok(()) = world.ask().await {
        assert!(begin.elapsed() < SOON, "one that is gone is asked for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
        // It registers itself again: an agent may forget.
        world.mesh.remove(first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_copy_gets_calls_at_once_and_one_that_leaves_none() {
    let world = World::new().await;
    let (_, one) = world.copy().await;
    world.ask().await.unwrap();
    let (address, two) = world.copy().await;
    let begin = Instant::now();
    while two.load(Ordering::Relaxed) == 0 {
        world.ask().await.unwrap();
        assert!(begin.elapsed() < SOON, "no call for the second copy");
    }
    println!("the second copy was asked {:?} after it was known", begin.elapsed());
    // The control: it goes on getting them while it is known.
    let before = two.load(Ordering::Relaxed);
    while two.load(Ordering::Relaxed) < before + 10 {
        world.ask().await.unwrap();
        assert!(begin.elapsed() < SOON, "one call and no more for the second copy");
    }
    world.mesh.remove(address);
    // Whoever asks hears of it with one more answer of Consul; from then on not one call goes there.
    let begin = Instant::now();
    loop {
        let before = (one.load(Ordering::Relaxed), two.load(Ordering::Relaxed));
        for _ in 0..50 {
            world.ask().await.unwrap();
        }
        if (one.load(Ordering::Relaxed), two.load(Ordering::Relaxed)) == (before.0 + 50, before.1) {
            break;
        }
        assert!(begin.elapsed() < SOON, "one that is gone is asked for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_is_there_that_is_said_at_once() {
    let world = World::new().await;
    world.ask().await.unwrap_err();
    let begin = Instant::now();
    let status = world.ask().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(artel_util::reason(&status).as_deref(), Some("NO_INSTANCES"));
    assert!(begin.elapsed() < SOON / 5, "waited {:?}", begin.elapsed());
    world.copy().await;
    let begin = Instant::now();
    while world.ask().await.is_err() {
        assert!(begin.elapsed() < SOON, "it is there and not asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hears_no_events_works_on_and_says_so() {
    let world = World::new().await;
    let service = Service::new("order").grpc(orders(&Count::default())).listen(Idle);
    let address = world.mesh.serve(service).await.unwrap();
    world.ask().await.unwrap();
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut health = HealthClient::new(channel.connect().await.unwrap());
    let mut status = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        health.check(request).await.unwrap().into_inner().status().as_str_name()
    };
    assert_eq!((status("order").await, status("order/events").await), ("SERVING", "NOT_SERVING"));
    let begin = Instant::now();
    while world.mesh.metadata("order")[0].get("degraded").map(String::as_str) != Some("events") {
        assert!(begin.elapsed() < SOON, "{:?}", world.mesh.metadata("order"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The control: one that wants nothing says nothing.
    world.mesh.serve(Service::new("notify")).await.unwrap();
    assert_eq!(world.mesh.metadata("notify")[0].get("degraded"), None);
}
