//! The door for systems outside, through Envoy: what was answered is never lost, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artel_config::Secret;
use artel_inbox::Inbox;
use artel_proto::Message as _;
use artel_proto::webhook::WebhookReceived;
use artel_queue::{Broker, Failure, Handler, Listener, Message, Publisher, Subscription, Topology};
use async_trait::async_trait;

use crate::support::{Mesh, PATIENCE, eventually, unique};

const RECOVERY: Duration = Duration::from_secs(90);

/// What the owner heard, by the sender's id of the delivery.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Vec<WebhookReceived>>>>);

#[async_trait]
impl Handler for Heard {
    async fn handle(&self, message: &Message) -> Result<(), Failure> {
        let event = WebhookReceived::decode(message.event.body.clone()).unwrap();
        let mut heard = self.0.lock().unwrap();
        let all = heard.entry(event.delivery_id.clone()).or_default();
        // An event comes at least once.
        if !all.contains(&event) {
            all.push(event);
        }
        Ok(())
    }
}

impl Heard {
    fn of(&self, delivery: &str) -> Vec<WebhookReceived> {
        self.0.lock().unwrap().get(delivery).cloned().unwrap_or_default()
    }
}

/// The mesh with a source `probe` that belongs to this test, and the test's ears.
async fn listening() -> (Mesh, Heard, Listener) {
    let mesh = Mesh::get();
    mesh.artel(&["config", "set", "webhook.sources", "probe=test"]);
    mesh.artel(&["config", "set", "webhook.delivery_ids", "probe=x-delivery"]);
    let heard = Heard::default();
    let broker = Broker::new(&Secret::new(mesh.place("rabbitmq")), "test").unwrap();
    let topology = Topology::default();
    let publisher = Publisher::connect(&broker, &topology);
    let subscription = Subscription::new("webhook-test", ["webhook.received"]);
    let listener = Listener::start(&broker, &topology, subscription, publisher, heard.clone());
    // The setting is taken, and the queue is bound: what is told before that, nobody hears.
    eventually("a first webhook to be heard", PATIENCE, async || {
        let delivery = unique("first");
        let answer = send(&mesh, &delivery, b"hello".to_vec()).await?;
        if answer != 200 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        heard.of(&delivery).pop()
    })
    .await;
    (mesh, heard, listener)
}

async fn send(mesh: &Mesh, delivery: &str, body: Vec<u8>) -> Option<u16> {
    let request = mesh.http.post(format!("{}/webhooks/probe", mesh.api)).header("x-delivery", delivery);
    Some(request.body(body).send().await.ok()?.status().as_u16())
}

#[tokio::test]
async fn bytes_arrive_as_they_were_sent_whatever_they_are() {
    let (mesh, heard, _listener) = listening().await;
    let inbox = Inbox::new(mesh.inside().to("webhook"));
    let all: Vec<u8> = (0..=255).collect();
    // Really compressed, and said to be JSON, gRPC or gRPC-Web: nobody on the way may look into it.
    let gzip: &[u8] =
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    for (kind, encoding, body) in [
        ("application/octet-stream", "identity", all.as_slice()),
        ("application/json", "gzip", gzip),
        ("application/grpc", "identity", &[0, 0, 0, 0, 1, 7]),
        ("application/grpc-web+proto", "identity", &[0, 0, 0, 0, 1, 7]),
        ("text/plain; charset=windows-1251", "identity", &[0xcf, 0xf0, 0xe8, 0, 13, 10]),
        ("application/json", "identity", b""),
    ] {
        let delivery = unique("bytes");
        let request = mesh.http.post(format!("{}/webhooks/probe?a=%D1%87&b=1+2&c", mesh.api));
        let answer = request
            .header("content-type", kind)
            .header("content-encoding", encoding)
            .header("x-delivery", &delivery)
            .header("x-signature", "sha256=abc")
            .header("x-artel-call", "forged")
            // A token of the sender's own, which is none of ours.
            .header("authorization", "Bearer theirs")
            .body(body.to_vec())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{kind}: {}", answer.text().await.unwrap());
        let event = eventually("the event", PATIENCE, async || heard.of(&delivery).pop()).await;
        let received = inbox.open(&mesh.call(), &event).await.unwrap();
        assert_eq!(received.body()[..], *body, "{kind}");
        assert_eq!(received.header("content-type"), Some(kind));
        assert_eq!(received.header("content-encoding"), Some(encoding));
        assert_eq!(received.header("x-signature"), Some("sha256=abc"));
        assert_eq!(received.header("x-artel-call"), None);
        assert_eq!(received.query(), "a=%D1%87&b=1+2&c");
        assert_eq!(received.remote_address(), "127.0.0.1");
        inbox.accept(&mesh.call(), &received).await.unwrap();
    }
}

#[tokio::test]
async fn a_repeated_delivery_is_one_event_and_what_is_not_kept_is_told_so() {
    let (mesh, heard, _listener) = listening().await;
    let (repeated, after) = (unique("repeated"), unique("after"));
    for _ in 0..5 {
        assert_eq!(send(&mesh, &repeated, b"paid".to_vec()).await, Some(200));
    }
    assert_eq!(send(&mesh, &after, b"paid".to_vec()).await, Some(200));
    eventually("the last event", PATIENCE, async || heard.of(&after).pop()).await;
    assert_eq!(heard.of(&repeated).len(), 1);

    let stranger = mesh.post("/webhooks/stranger", None, &serde_json::json!({})).await;
    assert_eq!((stranger.status.as_u16(), stranger.reason()), (404, "SOURCE_NOT_FOUND"), "{}", stranger.body);
    // Envoy may answer and close before all of it is sent.
    if let Some(status) = send(&mesh, &unique("large"), vec![0; 2 << 20]).await {
        assert_eq!(status, 413);
    }
}

#[tokio::test]
async fn what_was_answered_survives_whatever_is_killed() {
    let (mesh, heard, _listener) = listening().await;
    let sending = Mutex::new(true);
    let senders = async {
        let mut answered = BTreeSet::new();
        while *sending.lock().unwrap() {
            let delivery = unique("survivor");
            // A sender repeats until it is answered, and no longer.
            eventually("a webhook to be taken", RECOVERY, async || {
                send(&mesh, &delivery, delivery.clone().into_bytes()).await.filter(|status| *status == 200)
            })
            .await;
            answered.insert(delivery);
        }
        answered
    };
    let killing = async {
        for process in ["webhook", "persist", "rabbitmq", "webhook"] {
            let before = mesh.pid(process).unwrap();
            mesh.kill(process);
            eventually(&format!("{process} to be started again"), RECOVERY, async || {
                mesh.pid(process).filter(|pid| *pid != before)
            })
            .await;
            let probe = unique("probe");
            eventually(
                &format!("a webhook to go through after {process} was killed"),
                RECOVERY,
                async || {
                    send(&mesh, &probe, b"probe".to_vec()).await;
                    heard.of(&probe).pop()
                },
            )
            .await;
        }
        *sending.lock().unwrap() = false;
    };
    let (answered, ()) = tokio::join!(senders, killing);
    assert!(answered.len() > 20, "only {} were sent: the load was no load", answered.len());
    for delivery in &answered {
        let events = eventually(&format!("the event of {delivery}"), RECOVERY, async || {
            Some(heard.of(delivery)).filter(|it| !it.is_empty())
        })
        .await;
        assert_eq!(events.len(), 1, "{delivery} was kept more than once: {events:?}");
    }
    println!("{} webhooks answered, each told of once", answered.len());
}
