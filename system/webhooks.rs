//! `artel webhooks`: an operator sees what systems outside sent, and what became of it.

use std::path::Path;

use artel_proto::webhook::webhook_service_client::WebhookServiceClient;
use artel_proto::webhook::{ListWebhooksRequest, Webhook, WebhookStatus};
use artel_util::time;

use crate::operator::Operator;
use crate::role::said;

/// Which of them.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// Only of this source
    #[arg(long)]
    source: Option<String>,
    /// Only of sources that this service owns
    #[arg(long)]
    owner: Option<String>,
    /// Only those of which this was said
    #[arg(long, value_enum)]
    status: Option<Said>,
    /// How many at most, the newest first
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// What an owner says of a webhook.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Said {
    /// Nothing yet
    Received,
    /// It is genuine, and its effect is done
    Accepted,
    /// It is forged or makes no sense
    Rejected,
}

/// Lists them.
///
/// # Errors
/// Where the mesh is not found or refuses.
pub(crate) async fn run(asked: Asked, endpoints: &Path) -> anyhow::Result<()> {
    let operator = Operator::connect(endpoints)?;
    let mut webhooks = WebhookServiceClient::new(operator.channels.to("webhook"));
    let (mut left, mut request) = (usize::try_from(asked.limit)?, asked.request());
    let mut shown = 0;
    while left > 0 {
        request.page_size = i32::try_from(left.min(200))?;
        let page = webhooks.list_webhooks(operator.call.request(request.clone())).await.map_err(said)?;
        let page = page.into_inner();
        for webhook in &page.webhooks {
            println!("{}", line(webhook));
        }
        shown += page.webhooks.len();
        left -= page.webhooks.len().min(left);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if shown == 0 {
        println!("Nothing was kept of that kind. What the door refused is counted in artel_webhooks_total.");
    }
    Ok(())
}

impl Asked {
    fn request(&self) -> ListWebhooksRequest {
        let status = match self.status {
            None => WebhookStatus::Unspecified,
            Some(Said::Received) => WebhookStatus::Received,
            Some(Said::Accepted) => WebhookStatus::Accepted,
            Some(Said::Rejected) => WebhookStatus::Rejected,
        };
        ListWebhooksRequest {
            source: self.source.clone().unwrap_or_default(),
            owner: self.owner.clone().unwrap_or_default(),
            status: status.into(),
            ..ListWebhooksRequest::default()
        }
    }
}

/// One line: when, from where, whose, what was said, and why.
fn line(webhook: &Webhook) -> String {
    let said = match webhook.status() {
        WebhookStatus::Accepted => "accepted",
        WebhookStatus::Rejected => "rejected",
        _ => "received",
    };
    let time = webhook.create_time.as_ref().and_then(time::to_chrono);
    let time = time.map(|time| time.format("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default();
    let Webhook { id, source, owner, size, remote_address, delivery_id, reject_reason, .. } = webhook;
    let more = [("delivery ", delivery_id), ("because ", reject_reason)];
    let more = more.into_iter().filter(|(_, value)| !value.is_empty());
    // What came from outside stays on its line, and on the screen.
    let more: String = more.map(|(what, value)| format!("  {what}{}", value.escape_debug())).collect();
    format!("{time}  {id}  {said}  {source} for {owner}  {size} bytes from {remote_address}{more}")
}

#[cfg(test)]
mod tests {
    use artel_proto::Timestamp;

    use super::*;

    #[test]
    fn a_line_says_what_came_and_why_it_was_rejected() {
        let webhook = Webhook {
            id: "019a9d2c-4c55-7b0a-8f0e-2f6f3f5b7a11".into(),
            source: "bank".into(),
            owner: "billing".into(),
            delivery_id: "d\u{1b}[2J".into(),
            size: 12,
            remote_address: "203.0.113.7".into(),
            status: WebhookStatus::Rejected.into(),
            reject_reason: "forged".into(),
            create_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            ..Webhook::default()
        };
        assert_eq!(
            line(&webhook),
            "2027-01-15 08:00:00Z  019a9d2c-4c55-7b0a-8f0e-2f6f3f5b7a11  rejected  bank for billing  \
             12 bytes from 203.0.113.7  delivery d\\u{1b}[2J  because forged"
        );
    }
}
