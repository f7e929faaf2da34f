//! The sender against a receiver that somebody else wrote: FluentServer of the npm package @fluent-org/logger.

#![allow(clippy::unwrap_used)]

mod node;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artel_logger::{Forwarder, Limits, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::node::{PATIENCE, Receiver};

fn logger(address: SocketAddr, limits: Limits) -> (Forwarder, DefaultGuard) {
    let (layer, forwarder) = artel_logger::start(Settings {
        address: address.to_string(),
        tag: "artel.test".into(),
        service: "test".into(),
        limits,
        acknowledged_within: Duration::from_secs(2),
    });
    (forwarder, tracing_subscriber::registry().with(layer).set_default())
}

const WIDE: Limits = Limits { records: 100_000, bytes: 64 << 20 };

/// Says lines with these numbers.
fn say(numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| tracing::info!(number, "counted"));
}

fn numbers(entries: &[serde_json::Value]) -> Vec<u64> {
    entries.iter().map(|entry| entry["record"]["number"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_line_arrives_with_its_time_its_fields_and_those_of_its_spans() {
    let mut receiver = Receiver::start(0).await;
    let (forwarder, _guard) = logger(receiver.address, WIDE);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let span =
        tracing::info_span!("request", service = "order", trace = "4bf92f", code = tracing::field::Empty);
    span.record("code", 7);
    span.in_scope(|| {
        tracing::warn!(amount = -3, ratio = 0.5, paid = true, target = "mine", "оплачено");
    });
    let entry = receiver.entries(1).await.remove(0);
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert_eq!(entry["tag"], "artel.test");
    let time = Duration::new(entry["seconds"].as_u64().unwrap(), entry["nanos"].as_u64().unwrap() as u32);
    assert!(before <= time && time <= after, "{time:?}");
    let record = &entry["record"];
    for (field, expected) in [
        ("level", "WARN".into()),
        ("target", module_path!().into()),
        ("target_", "mine".into()),
        ("message", "оплачено".into()),
        ("service", "order".into()),
        ("trace", "4bf92f".into()),
        ("span", "request".into()),
        ("code", 7.into()),
        ("amount", (-3).into()),
        ("ratio", serde_json::json!(0.5)),
        ("paid", true.into()),
        ("pid", std::process::id().into()),
    ] {
        assert_eq!(record[field], expected, "{field} of {record}");
    }
    assert_eq!(forwarder.drain(PATIENCE).await, 0);
}

#[tokio::test]
async fn many_lines_arrive_once_and_in_order_and_draining_waits_for_them() {
    let mut receiver = Receiver::start(0).await;
    let (forwarder, guard) = logger(receiver.address, WIDE);
    say(0..10_000);
    drop(guard);
    assert_eq!(forwarder.drain(PATIENCE).await, 0);
    assert_eq!(numbers(&receiver.entries(10_000).await), (0..10_000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again() {
    let mut receiver = Receiver::start(0).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    // The first connection is cut when the receiver acknowledges: the sender cannot know that it arrived.
    tokio::spawn({
        let (connections, behind) = (Arc::clone(&connections), receiver.address);
        async move {
            loop {
                let (mut near, _) = proxy.accept().await.unwrap();
                let mut far = TcpStream::connect(behind).await.unwrap();
                if connections.fetch_add(1, Ordering::SeqCst) == 0 {
                    let (mut from, mut to) = near.split();
                    let (mut back, mut on) = far.split();
                    tokio::select! {
                        _ = tokio::io::copy(&mut from, &mut on) => {}
                        _ = back.read_u8() => {}
                    }
                    let _ = to.shutdown().await;
                } else {
                    tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
                }
            }
        }
    });
    let (forwarder, guard) = logger(address, WIDE);
    say(0..10);
    drop(guard);
    assert_eq!(forwarder.drain(PATIENCE).await, 0);
    assert!(connections.load(Ordering::SeqCst) >= 2);
    let twice: Vec<u64> = (0..10).chain(0..10).collect();
    assert_eq!(numbers(&receiver.entries(20).await), twice);
}

#[tokio::test]
async fn while_the_receiver_is_away_the_newest_wait_and_the_others_are_counted() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let (forwarder, guard) = logger(address, Limits { records: 100, bytes: 1 << 20 });
    say(0..1_000);
    drop(guard);
    assert_eq!(forwarder.dropped(), 900);
    let mut receiver = Receiver::start(address.port()).await;
    assert_eq!(numbers(&receiver.entries(100).await), (900..1_000).collect::<Vec<_>>());
    assert_eq!(forwarder.drain(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_nobody_up() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (forwarder, guard) = logger(deaf.local_addr().unwrap(), Limits { records: 50, bytes: 1 << 20 });
    let (_held, _) = tokio::time::timeout(PATIENCE, deaf.accept()).await.unwrap().unwrap();
    say(0..1_000);
    drop(guard);
    let left = tokio::time::timeout(PATIENCE, forwarder.drain(Duration::from_millis(300))).await.unwrap();
    assert_eq!(left, 50);
}
