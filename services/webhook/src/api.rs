use artel_client::Call;
use artel_handle::Live;
use artel_proto::webhook::webhook_service_server::WebhookService;
use artel_proto::webhook::{
    GetWebhookRequest, GetWebhookResponse, ListWebhooksRequest, ListWebhooksResponse, SettleWebhookRequest,
    SettleWebhookResponse, Webhook, WebhookContent, WebhookStatus,
};
use artel_repo::{Commit, Direction, Query, Repo};
use artel_util::{Error, new_id, now};
use bytes::Bytes;
use tonic::{Request, Response, Status};

use crate::settings::Settings;

/// Who may see what every source sent. The name is signed with the mesh's key.
const OPERATOR: &str = "operator";

/// The gRPC methods of `webhook`.
pub(crate) struct Webhooks {
    repo: Repo,
    settings: Live<Settings>,
}

impl Webhooks {
    pub fn new(repo: Repo, settings: Live<Settings>) -> Self {
        Self { repo, settings }
    }

    /// Of which owner webhooks are listed; of every one where there is none.
    fn listed(&self, call: &Call, asked: &ListWebhooksRequest) -> Result<Option<String>, Error> {
        if call.service != OPERATOR {
            return match (asked.source.as_str(), asked.owner.as_str()) {
                ("", _) => Err(Error::invalid("source", "is required: one of your own")),
                (_, owner) if !owner.is_empty() && owner != call.service => {
                    Err(Error::invalid("owner", format!("must be empty or `{}`", call.service)))
                }
                _ => Ok(Some(call.service.clone())),
            };
        }
        if asked.source.is_empty() || !asked.owner.is_empty() {
            return Ok(Some(asked.owner.clone()).filter(|owner| !owner.is_empty()));
        }
        let source = self.settings.get().source(&asked.source).ok_or_else(|| {
            let text = format!("`{}` is none of webhook.sources; name the owner it had, too", asked.source);
            Error::invalid("source", text)
        })?;
        Ok(Some(source.owner))
    }

    async fn content(&self, call: &Call, id: &str) -> Result<WebhookContent, Error> {
        let content = self.repo.get(call, id).await?;
        content.ok_or_else(|| Error::internal("a webhook is kept without what it was"))
    }

    /// Somebody else's webhook is not there.
    async fn own(&self, call: &Call, id: &str) -> Result<Webhook, Error> {
        let found: Option<Webhook> = self.repo.get(call, id).await?;
        found.filter(|webhook| webhook.owner == call.service).ok_or_else(|| {
            Error::not_found(
                "WEBHOOK_NOT_FOUND",
                "There is no such webhook of a source that this service owns.",
            )
        })
    }

    async fn settle(&self, call: &Call, asked: &SettleWebhookRequest) -> Result<Webhook, Error> {
        let wanted = if asked.accepted { WebhookStatus::Accepted } else { WebhookStatus::Rejected };
        let mut webhook = self.own(call, &asked.id).await?;
        if webhook.status() == WebhookStatus::Received {
            webhook.set_status(wanted);
            webhook.reject_reason = if asked.accepted { String::new() } else { asked.reject_reason.clone() };
            webhook.settle_time = Some(now());
            let commit = Commit::new()
                .update(&webhook, &["status", "reject_reason", "settle_time"])
                .expect("status", WebhookStatus::Received.as_str_name())
                // A key of its own, so that it may be sent again if the answer is lost.
                .once(format!("webhook.settle/{}", new_id()), Bytes::new(), Bytes::new());
            match self.repo.commit(call, commit).await {
                Ok(_) => {
                    told(&webhook, wanted);
                    return self.own(call, &asked.id).await;
                }
                // Somebody was faster; what they said counts.
                Err(error) if error.reason() == "PRECONDITION_FAILED" => {
                    webhook = self.own(call, &asked.id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if webhook.status() == wanted {
            return Ok(webhook);
        }
        Err(Error::precondition("WEBHOOK_SETTLED", "Something else was said of this webhook before.")
            .with("status", webhook.status().as_str_name()))
    }
}

fn told(webhook: &Webhook, status: WebhookStatus) {
    let (source, id, reason) = (&webhook.source, &webhook.id, &webhook.reject_reason);
    let said = if status == WebhookStatus::Accepted { "accepted" } else { "rejected" };
    metrics::counter!("artel_webhooks_settled_total", "source" => source.clone(), "said" => said)
        .increment(1);
    if status == WebhookStatus::Rejected {
        tracing::warn!(%source, %id, remote = webhook.remote_address, reason, "webhook rejected");
    }
}

#[tonic::async_trait]
impl WebhookService for Webhooks {
    async fn get_webhook(
        &self,
        request: Request<GetWebhookRequest>,
    ) -> Result<Response<GetWebhookResponse>, Status> {
        let (call, id) = (Call::of(&request)?, &request.get_ref().id);
        let webhook = self.own(call, id).await?;
        let content = self.content(call, id).await?;
        Ok(Response::new(GetWebhookResponse { webhook: Some(webhook), content: Some(content) }))
    }

    async fn list_webhooks(
        &self,
        request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        let owner = self.listed(call, asked)?;
        // Each way an index leads: by owner and source, by status, or by the key, which grows with time.
        let by_time = !asked.source.is_empty() || asked.status() != WebhookStatus::Unspecified;
        let mut query = Query::new()
            .order(if by_time { "create_time" } else { "id" }, Direction::Descending)
            .page_asked(asked.page_size, &asked.page_token);
        if let Some(owner) = owner {
            query = query.equal("owner", owner);
        }
        if !asked.source.is_empty() {
            query = query.equal("source", asked.source.as_str());
        }
        if asked.status() != WebhookStatus::Unspecified {
            query = query.equal("status", asked.status().as_str_name());
        }
        let page = self.repo.query::<Webhook>(call, query).await?;
        Ok(Response::new(ListWebhooksResponse {
            webhooks: page.items,
            next_page_token: page.next_page_token,
        }))
    }

    async fn settle_webhook(
        &self,
        request: Request<SettleWebhookRequest>,
    ) -> Result<Response<SettleWebhookResponse>, Status> {
        let webhook = self.settle(Call::of(&request)?, request.get_ref()).await?;
        Ok(Response::new(SettleWebhookResponse { webhook: Some(webhook) }))
    }
}
