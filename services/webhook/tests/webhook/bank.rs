//! A service that owns a source, whole: what every owner does.

use artel_config::Secret;
use artel_handle::{Delivery, Listener};
use artel_inbox::{Encoding, Hash, Inbox, Signature};
use artel_proto::notify::Notification;
use artel_proto::webhook::WebhookReceived;
use artel_queue::Failure;
use artel_repo::{Commit, Repo};
use artel_util::new_id;
use async_trait::async_trait;
use bytes::Bytes;

pub const SECRET: &str = "what only the bank and we know";

/// Writes down what the bank says, once for each delivery.
pub struct Bank {
    pub inbox: Inbox,
    pub repo: Repo,
    pub signature: Signature,
}

#[async_trait]
impl Listener<WebhookReceived> for Bank {
    async fn hear(&self, delivery: &Delivery, event: WebhookReceived) -> Result<(), Failure> {
        // Every owner hears of every webhook.
        if event.source != "bank" {
            return Ok(());
        }
        let call = &delivery.call;
        let received = self.inbox.open(call, &event).await?;
        if received.is_settled() {
            return Ok(());
        }
        if let Err(forged) = self.signature.check(&[received.body()], received.header("x-signature")) {
            return Ok(self.inbox.reject(call, &received, &forged.to_string()).await?);
        }
        // The bank's own word is trusted from here on; what it means is this service's business.
        let payment = Notification {
            id: new_id(),
            user_id: "payer".to_owned(),
            event_id: new_id(),
            title: String::from_utf8_lossy(received.body()).into_owned(),
            ..Notification::default()
        };
        let once = Commit::new().insert(&payment).once(received.key(), received.digest(), Bytes::new());
        self.repo.commit(call, once).await?;
        Ok(self.inbox.accept(call, &received).await?)
    }
}

pub fn signature() -> Signature {
    Signature::new(Hash::Sha256, Encoding::Hex, &Secret::new(SECRET)).after("sha256=")
}
