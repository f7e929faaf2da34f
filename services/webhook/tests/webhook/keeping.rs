//! What is kept is what came.

use artel_proto::webhook::WebhookReceived;

use crate::world::World;

#[tokio::test]
async fn what_came_is_kept_to_the_byte() {
    let mut world = World::start().await;
    // Every byte there is, said to be compressed, which it is not: nobody may look.
    let body: Vec<u8> = (0..=255).chain([0x1f, 0x8b, 0x08, 0x00, b'\r', b'\n']).collect();
    let answer = world
        .post("bank")
        .query(&[("order", "1 2"), ("flag", "")])
        .header("content-encoding", "gzip")
        .header("content-type", "application/vnd.bank")
        .header("x-signature", "s")
        .header("authorization", "Basic bm9uZQ==")
        .header("x-envoy-external-address", "203.0.113.7")
        .body(body.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let event = world.told().await;
    assert_eq!((event.source.as_str(), event.size), ("bank", 262));

    let received = world.inbox("bank").open(&world.mesh.host("bank").call(), &event).await.unwrap();
    assert_eq!(received.body()[..], body[..]);
    assert_eq!((received.method(), received.query()), ("POST", "order=1+2&flag="));
    assert_eq!(received.header("content-encoding"), Some("gzip"));
    assert_eq!(received.header("content-type"), Some("application/vnd.bank"));
    assert_eq!(received.header("x-signature"), Some("s"));
    assert_eq!(received.header("authorization"), None, "what is not listed is not kept");
    assert_eq!(received.remote_address(), "203.0.113.7");
    assert!(!received.is_settled());
    // Nothing of it stands where more people read: in the change log.
    assert_eq!(
        world.count("change_log WHERE after ? 'body' OR after ? 'headers' OR after ? 'query'").await,
        0
    );
}

#[tokio::test]
async fn the_same_delivery_is_kept_once_and_told_of_once() {
    let mut world = World::start().await;
    let send = |delivery: &'static str, signature: &'static str, body: &'static str| {
        world.post("bank").header("x-delivery", delivery).header("x-signature", signature).body(body).send()
    };
    for _ in 0..3 {
        assert_eq!(send("1", "s", "paid").await.unwrap().status(), 200);
    }
    // Two at once, too.
    let (one, other) = tokio::join!(send("2", "s", "paid"), send("2", "s", "paid"));
    assert_eq!((one.unwrap().status().as_u16(), other.unwrap().status().as_u16()), (200, 200));
    // Somebody else's request with the same id must not hide the bank's own.
    assert_eq!(send("1", "forged", "paid").await.unwrap().status(), 200);
    assert_eq!(world.count("webhooks").await, 3);
    assert_eq!(world.count("outbox WHERE name = 'webhook.received'").await, 3);
    let ids = [world.told().await, world.told().await, world.told().await].map(|event| event.delivery_id);
    assert_eq!(ids.iter().filter(|id| *id == "1").count(), 2);

    // A source without ids may mean the same twice.
    for _ in 0..2 {
        world.post("sms").header("x-delivery", "1").body("ok").send().await.unwrap();
    }
    assert_eq!(world.count("webhooks WHERE source = 'sms'").await, 2);
}

#[tokio::test]
async fn a_source_can_be_added_while_it_runs() {
    let mut world = World::start().await;
    assert_eq!(world.post("post").body("x").send().await.unwrap().status(), 404);
    world.mesh.set("webhook.sources", "bank=bank,sms=telephony,post=parcel");
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while world.post("post").body("x").send().await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < end, "the new source is not taken");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let WebhookReceived { source, .. } = world.told().await;
    assert_eq!(source, "post");
}
