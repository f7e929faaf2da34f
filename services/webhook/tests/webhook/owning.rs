//! Only the owner judges, and what it says is seen.

use artel_handle::{Delivery, Listener as _};
use artel_proto::webhook::webhook_service_client::WebhookServiceClient;
use artel_proto::webhook::{ListWebhooksRequest, Webhook, WebhookReceived, WebhookStatus};
use artel_util::new_id;
use tonic::Code;

use crate::bank::{Bank, signature};
use crate::world::World;

/// An event as the owner's queue brings it.
fn delivery(world: &World) -> Delivery {
    Delivery {
        call: world.mesh.host("bank").call(),
        event_id: new_id(),
        event: "webhook.received".to_owned(),
        attempt: 1,
        is_replay: false,
        time: chrono::Utc::now(),
    }
}

fn bank(world: &World) -> Bank {
    Bank { inbox: world.inbox("bank"), repo: world.mesh.host("bank").repo(), signature: signature() }
}

async fn send(world: &mut World, delivery: &str, body: &str, signature: &str) -> WebhookReceived {
    let request = world.post("bank").header("x-delivery", delivery.to_owned());
    let answer =
        request.header("x-signature", signature.to_owned()).body(body.to_owned()).send().await.unwrap();
    assert_eq!(answer.status(), 200, "whether it is genuine is not the door's to say");
    world.told().await
}

async fn listed(world: &World, service: &'static str, status: WebhookStatus) -> Vec<Webhook> {
    let host = world.mesh.host(service);
    let asked =
        ListWebhooksRequest { source: "bank".to_owned(), status: status.into(), ..Default::default() };
    let mut webhooks = WebhookServiceClient::new(host.channel("webhook"));
    webhooks.list_webhooks(host.call().request(asked)).await.unwrap().into_inner().webhooks
}

#[tokio::test]
async fn what_is_genuine_takes_effect_once_and_what_is_forged_never() {
    let mut world = World::start().await;
    let bank = bank(&world);
    let right = signature().sign(&[b"paid 100"]);

    let genuine = send(&mut world, "7", "paid 100", &right).await;
    // An event comes at least once.
    for _ in 0..2 {
        bank.hear(&delivery(&world), genuine.clone()).await.unwrap();
    }
    // The bank tries again and signs with another time in it: another request, the same delivery.
    let body = "paid 100, second attempt";
    let again = send(&mut world, "7", body, &signature().sign(&[body.as_bytes()])).await;
    assert_ne!(again.webhook_id, genuine.webhook_id);
    bank.hear(&delivery(&world), again).await.unwrap();
    assert_eq!(world.count("notifications").await, 1);
    assert_eq!(listed(&world, "bank", WebhookStatus::Accepted).await.len(), 2);

    // The body was changed on the way; it is signed by somebody else; it is not signed.
    for (id, body, given) in
        [("8", "paid 900", right.as_str()), ("9", "paid 100", "sha256=00"), ("10", "paid 100", "")]
    {
        let forged = send(&mut world, id, body, given).await;
        bank.hear(&delivery(&world), forged).await.unwrap();
    }
    assert_eq!(world.count("notifications").await, 1, "nothing forged took effect");
    let rejected = listed(&world, "bank", WebhookStatus::Rejected).await;
    let why: Vec<_> = rejected.iter().map(|webhook| webhook.reject_reason.as_str()).collect();
    assert_eq!(
        why,
        ["the signature cannot be read", "the signature does not match", "the signature does not match"]
    );
    assert!(rejected.iter().all(|webhook| webhook.settle_time.is_some()));
    // Others' webhooks are none of its business.
    let other = WebhookReceived { source: "sms".to_owned(), webhook_id: new_id(), ..Default::default() };
    bank.hear(&delivery(&world), other).await.unwrap();
}

#[tokio::test]
async fn nobody_but_the_owner_reads_or_judges() {
    let mut world = World::start().await;
    let event = send(&mut world, "1", "secret", "").await;
    let received = world.inbox("bank").open(&world.mesh.host("bank").call(), &event).await.unwrap();
    for service in ["telephony", "order"] {
        let call = world.mesh.host(service).call();
        let inbox = world.inbox(service);
        for refused in [
            inbox.open(&call, &event).await.unwrap_err(),
            inbox.accept(&call, &received).await.unwrap_err(),
            inbox.reject(&call, &received, "mine now").await.unwrap_err(),
        ] {
            assert_eq!(
                (refused.code(), refused.reason()),
                (Code::NotFound, "WEBHOOK_NOT_FOUND"),
                "{service}"
            );
        }
        assert!(listed(&world, service, WebhookStatus::Unspecified).await.is_empty());
    }
    assert_eq!(listed(&world, "bank", WebhookStatus::Received).await.len(), 1);
}

#[tokio::test]
async fn the_first_word_counts() {
    let mut world = World::start().await;
    let event = send(&mut world, "1", "body", "").await;
    let (inbox, call) = (world.inbox("bank"), world.mesh.host("bank").call());
    let received = inbox.open(&call, &event).await.unwrap();
    inbox.reject(&call, &received, "forged").await.unwrap();
    inbox.reject(&call, &received, "forged").await.unwrap();
    let refused = inbox.accept(&call, &received).await.unwrap_err();
    assert_eq!((refused.code(), refused.reason()), (Code::FailedPrecondition, "WEBHOOK_SETTLED"));
    assert!(inbox.open(&call, &event).await.unwrap().is_settled());
}
