//! The bank's own news, which anybody can send: it only makes us ask the bank.

use artel_client::Call;
use artel_handle::{Delivery, Listener as _};
use artel_inbox::Inbox;
use artel_proto::billing::Payment;
use artel_proto::webhook::webhook_service_client::WebhookServiceClient;
use artel_proto::webhook::{ListWebhooksRequest, Webhook, WebhookReceived, WebhookStatus};
use artel_repo::Commit;
use artel_util::{new_id, time};
use chrono::TimeDelta;
use sha2::{Digest as _, Sha256};

use super::world::World;
use crate::reconcile::Reconciler;

/// Serves the door, and the one who judges.
async fn open(world: &World) -> (String, Reconciler) {
    let door = artel_webhook::service(world.mesh.host("webhook")).await.unwrap();
    let url = format!("http://{}/webhooks/halyk", world.mesh.serve(door).await.unwrap());
    let settings = world.settings();
    let inbox = Inbox::new(world.mesh.host("billing").channel("webhook"));
    let bank = settings.acquirer.acquirer().unwrap();
    (url, Reconciler::new(world.repo(), bank, inbox, settings.reconcile()))
}

/// What the bank would post of a payment.
fn post_link(payment_id: &str) -> String {
    let digest = Sha256::digest(payment_id.as_bytes());
    let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let invoice = format!("{:015}", number % 1_000_000_000_000_000);
    format!(r#"{{"accountId":"{payment_id}","invoiceId":"{invoice}","code":"ok","amount":999999}}"#)
}

/// Sends it and has it judged; what became of it.
async fn judged(world: &World, url: &str, reconciler: &Reconciler, body: String) -> Webhook {
    let before: Vec<String> = listed(world).await.into_iter().map(|one| one.id).collect();
    let sent = reqwest::Client::new().post(url).body(body).send().await.unwrap();
    assert_eq!(sent.status(), 200);
    let new = listed(world).await.into_iter().find(|one| !before.contains(&one.id)).unwrap();
    let event = WebhookReceived {
        webhook_id: new.id.clone(),
        source: "halyk".to_owned(),
        ..WebhookReceived::default()
    };
    let delivery = Delivery {
        call: Call { workspace: world.call().workspace, ..world.call() },
        event_id: new_id(),
        event: "webhook.received".to_owned(),
        attempt: 1,
        is_replay: false,
        time: chrono::Utc::now(),
    };
    // An event comes at least once.
    for _ in 0..2 {
        reconciler.hear(&delivery, event.clone()).await.unwrap();
    }
    listed(world).await.into_iter().find(|one| one.id == new.id).unwrap()
}

async fn listed(world: &World) -> Vec<Webhook> {
    let host = world.mesh.host("billing");
    let asked = ListWebhooksRequest { source: "halyk".to_owned(), ..Default::default() };
    let mut webhooks = WebhookServiceClient::new(host.channel("webhook"));
    webhooks.list_webhooks(host.call().request(asked)).await.unwrap().into_inner().webhooks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_bank_confirms_is_accepted_and_what_it_does_not_know_is_rejected() {
    let world = World::with("[webhook]\nsources = ['halyk=billing']").await;
    let (url, reconciler) = open(&world).await;
    let guest = world.guest().await;
    let paid = world.pay(&guest, 300).await.unwrap();
    let genuine = judged(&world, &url, &reconciler, post_link(&paid.payment_id)).await;
    assert_eq!(genuine.status(), WebhookStatus::Accepted, "{genuine:?}");
    // It changed nothing, whatever it said.
    world.check(&guest, 300).await;

    let declined = world.guest().await;
    world.bank_is(artel_vendors::Faults::script([artel_vendors::Act::Decline]));
    world.pay(&declined, 0).await.unwrap_err();
    let failed = world.payments_of(&declined).await.remove(0);
    for body in [post_link(&failed.id), post_link(&new_id()), "{}".to_owned(), "<html>".to_owned()] {
        let forged = judged(&world, &url, &reconciler, body).await;
        assert_eq!(forged.status(), WebhookStatus::Rejected, "{forged:?}");
    }
    world.check(&declined, 0).await;
}

/// The bank tells of a charge of a payment that failed: it is looked up at once, and given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_of_a_charge_of_a_failed_payment_gives_it_back_at_once() {
    let world = World::with("[webhook]\nsources = ['halyk=billing']").await;
    let (url, reconciler) = open(&world).await;
    let guest = world.guest().await;
    let paid = world.pay(&guest, 0).await.unwrap();
    // As a charge that came late leaves it; nobody would look before tomorrow.
    let mut payment: Payment = world.get(&paid.payment_id).await.unwrap();
    payment.set_status(artel_proto::billing::PaymentStatus::Failed);
    payment.transaction_id.clear();
    payment.check_time = Some(time::after(TimeDelta::days(1)));
    let commit = Commit::new().update(&payment, &["status", "transaction_id", "check_time"]);
    world.repo().commit(&world.call(), commit).await.unwrap();
    let genuine = judged(&world, &url, &reconciler, post_link(&payment.id)).await;
    assert_eq!(genuine.status(), WebhookStatus::Accepted);
    assert_eq!(world.moved(&payment.id), (1000, 1, 1000));
    let payment = world.payments_of(&guest).await.remove(0);
    assert_eq!((payment.check_time, payment.transaction_id.is_empty()), (None, false));
}
