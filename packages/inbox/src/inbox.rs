use artel_client::{Call, Channel};
use artel_proto::webhook::webhook_service_client::WebhookServiceClient;
use artel_proto::webhook::{
    GetWebhookRequest, SettleWebhookRequest, Webhook, WebhookContent, WebhookReceived, WebhookStatus,
};
use artel_util::Error;
use bytes::Bytes;

/// The webhooks of a service's own sources. Cheap to clone.
#[derive(Clone)]
pub struct Inbox {
    webhooks: WebhookServiceClient<Channel>,
}

/// A webhook, to the byte. Nothing in it is to be trusted before its signature is checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    webhook: Webhook,
    content: WebhookContent,
}

impl Inbox {
    /// Over a channel to `webhook`: `Inbox::new(host.channel("webhook"))`.
    #[must_use]
    pub fn new(webhook: Channel) -> Self {
        let most = webhook.message_bytes();
        let webhooks = WebhookServiceClient::new(webhook).max_decoding_message_size(most);
        Self { webhooks }
    }

    /// What an event tells of.
    ///
    /// # Errors
    /// NOT_FOUND (`WEBHOOK_NOT_FOUND`) where the source is another service's; otherwise what `webhook` says.
    pub async fn open(&self, call: &Call, event: &WebhookReceived) -> Result<Received, Error> {
        let request = call.request(GetWebhookRequest { id: event.webhook_id.clone() });
        let answer = self.webhooks.clone().get_webhook(request).await?.into_inner();
        Ok(Received {
            webhook: answer.webhook.unwrap_or_default(),
            content: answer.content.unwrap_or_default(),
        })
    }

    /// Says that it was genuine and its effect is done. Saying it again changes nothing.
    ///
    /// # Errors
    /// FAILED_PRECONDITION (`WEBHOOK_SETTLED`) where it was rejected before; otherwise what `webhook` says.
    pub async fn accept(&self, call: &Call, received: &Received) -> Result<(), Error> {
        self.settle(call, received, true, "").await
    }

    /// Says that it was forged or made no sense. The reason is for people; it is logged and kept.
    ///
    /// # Errors
    /// FAILED_PRECONDITION (`WEBHOOK_SETTLED`) where it was accepted before; otherwise what `webhook` says.
    pub async fn reject(&self, call: &Call, received: &Received, reason: &str) -> Result<(), Error> {
        self.settle(call, received, false, reason).await
    }

    async fn settle(
        &self,
        call: &Call,
        received: &Received,
        accepted: bool,
        reason: &str,
    ) -> Result<(), Error> {
        let reject_reason = reason.chars().take(500).collect();
        let request = SettleWebhookRequest { id: received.id().to_owned(), accepted, reject_reason };
        self.webhooks.clone().settle_webhook(call.request(request)).await?;
        Ok(())
    }
}

impl Received {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.webhook.id
    }

    /// Who says that they sent it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.webhook.source
    }

    /// The body, as it came: not decompressed, not decoded.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.content.body
    }

    /// The HTTP method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.content.method
    }

    /// The query without its question mark, as it came.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.content.query
    }

    /// The first value of a header (lower case), where it was kept and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.content.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(&header.value).ok()
    }

    /// The address it came from.
    #[must_use]
    pub fn remote_address(&self) -> &str {
        &self.webhook.remote_address
    }

    /// True where it was judged before: an event may come again after that.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self.webhook.status(), WebhookStatus::Accepted | WebhookStatus::Rejected)
    }

    /// The idempotency key of its effect: the same for every attempt of one delivery, whatever the sender changes from
    /// attempt to attempt. Only for what is genuine: the sender's id is part of it, and anybody can make one up.
    #[must_use]
    pub fn key(&self) -> String {
        let Webhook { id, source, delivery_id, .. } = &self.webhook;
        if delivery_id.is_empty() {
            format!("webhook/{source}//{id}")
        } else {
            format!("webhook/{source}/{delivery_id}")
        }
    }

    /// What goes with [`Received::key`]: the same for every attempt, too, whatever else is in the commit.
    #[must_use]
    pub fn digest(&self) -> Bytes {
        Bytes::from_static(b"webhook")
    }
}
