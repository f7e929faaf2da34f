//! What came is listed: to its owner, and to an operator whoever owns it.

use artel_client::Call;
use artel_proto::webhook::webhook_service_client::WebhookServiceClient;
use artel_proto::webhook::{ListWebhooksRequest, SettleWebhookRequest, Webhook, WebhookStatus};
use artel_util::Error;

use crate::world::World;

impl World {
    async fn list(
        &self,
        service: &'static str,
        asked: ListWebhooksRequest,
    ) -> Result<(Vec<Webhook>, String), Error> {
        let host = self.mesh.host(service);
        let call = Call::by_service(service, &host.call().workspace);
        let mut webhooks = WebhookServiceClient::new(host.channel("webhook"));
        let page = webhooks.list_webhooks(call.request(asked)).await?.into_inner();
        Ok((page.webhooks, page.next_page_token))
    }

    async fn reject(&self, service: &'static str, id: &str, reason: &str) {
        let host = self.mesh.host(service);
        let asked =
            SettleWebhookRequest { id: id.to_owned(), accepted: false, reject_reason: reason.to_owned() };
        let mut webhooks = WebhookServiceClient::new(host.channel("webhook"));
        webhooks.settle_webhook(host.call().request(asked)).await.unwrap();
    }
}

fn of(source: &str) -> ListWebhooksRequest {
    ListWebhooksRequest { source: source.to_owned(), ..ListWebhooksRequest::default() }
}

#[tokio::test]
async fn an_operator_sees_what_came_from_everywhere_and_what_became_of_it() {
    let mut world = World::start().await;
    let mut ids = Vec::new();
    for (source, body) in [("bank", "1"), ("sms", "22"), ("bank", "333"), ("sms", "4444"), ("bank", "55555")]
    {
        let answer = world.post(source).header("x-envoy-external-address", "203.0.113.7").body(body).send();
        assert_eq!(answer.await.unwrap().status(), 200);
        ids.push(world.told().await.webhook_id);
    }
    assert_eq!(world.post("nobody").body("x").send().await.unwrap().status(), 404);
    world.reject("telephony", &ids[1], "the signature is of another key").await;

    let (mut seen, mut asked) = (Vec::new(), ListWebhooksRequest { page_size: 2, ..of("") });
    loop {
        let (page, next) = world.list("operator", asked.clone()).await.unwrap();
        assert!(page.len() <= 2);
        seen.extend(page);
        if next.is_empty() {
            break;
        }
        asked.page_token = next;
    }
    let newest_first: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(seen.iter().map(|webhook| webhook.id.clone()).collect::<Vec<_>>(), newest_first);
    assert_eq!(seen.iter().map(|webhook| webhook.size).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    assert!(seen.iter().all(|webhook| webhook.remote_address == "203.0.113.7"));

    let rejected = ListWebhooksRequest { status: WebhookStatus::Rejected.into(), ..of("") };
    let (rejected, _) = world.list("operator", rejected).await.unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!(
        (rejected[0].id.as_str(), rejected[0].owner.as_str(), rejected[0].reject_reason.as_str()),
        (ids[1].as_str(), "telephony", "the signature is of another key")
    );
    assert!(rejected[0].settle_time.is_some());
    let waiting = ListWebhooksRequest { status: WebhookStatus::Received.into(), ..of("sms") };
    let (waiting, _) = world.list("operator", waiting).await.unwrap();
    assert_eq!(waiting.iter().map(|webhook| &webhook.id).collect::<Vec<_>>(), [&ids[3]]);
    let of_a_service = ListWebhooksRequest { owner: "bank".to_owned(), ..of("") };
    assert_eq!(world.list("operator", of_a_service).await.unwrap().0.len(), 3);
    // A source that is gone is named with the owner it had.
    let refused = world.list("operator", of("gone")).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "source");
    let gone = ListWebhooksRequest { owner: "bank".to_owned(), ..of("gone") };
    assert!(world.list("operator", gone).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_service_sees_its_own_sources_alone() {
    let mut world = World::start().await;
    for source in ["bank", "sms"] {
        assert_eq!(world.post(source).body("x").send().await.unwrap().status(), 200);
        world.told().await;
    }
    assert_eq!(world.list("bank", of("bank")).await.unwrap().0.len(), 1);
    assert!(world.list("bank", of("sms")).await.unwrap().0.is_empty());
    let refused = world.list("bank", of("")).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "source");
    let anothers = ListWebhooksRequest { owner: "telephony".to_owned(), ..of("sms") };
    assert_eq!(world.list("bank", anothers).await.unwrap_err().fields()[0].field, "owner");
}
