//! What is kept of a request, and what makes it the same as another.

use artel_proto::webhook::{Webhook, WebhookContent, WebhookHeader, WebhookReceived, WebhookStatus};
use artel_util::new_id;
use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::settings::{Settings, Source};

/// Longest id of a delivery, in characters.
const LONGEST_ID: usize = 200;
/// The address of the sender as the edge saw it.
const ADDRESS: &str = "x-envoy-external-address";
/// Headers of one hop, or of ours: never kept, whatever the configuration says.
const NEVER: [&str; 7] =
    ["x-request-id", "x-correlation-id", "x-forwarded-", "x-envoy-", "x-artel-", "x-real-ip", "x-b3-"];

/// A request, read to its end.
pub(crate) struct Incoming {
    pub source: String,
    pub method: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What is kept of a request, and what is told of it.
pub(crate) struct Kept {
    pub webhook: Webhook,
    pub content: WebhookContent,
    pub event: WebhookReceived,
}

/// What is kept of it, and told.
pub(crate) fn kept(incoming: Incoming, source: &Source, settings: &Settings) -> Kept {
    let mut headers: Vec<WebhookHeader> = incoming
        .headers
        .iter()
        .filter(|(name, _)| settings.keeps(name.as_str()) && is_the_senders(name.as_str()))
        .map(|(name, value)| WebhookHeader {
            name: name.as_str().to_owned(),
            value: Bytes::copy_from_slice(value.as_bytes()),
        })
        .collect();
    // Stable: values of one name stay in their order.
    headers.sort_by(|one, other| one.name.cmp(&other.name));
    let text = |name: &str| {
        incoming.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let delivery_id = source.delivery_id.as_ref().map(|name| text(name.as_str())).unwrap_or_default();
    let webhook = Webhook {
        id: new_id(),
        source: incoming.source.clone(),
        owner: source.owner.clone(),
        delivery_id: delivery_id.chars().take(LONGEST_ID).collect(),
        size: i32::try_from(incoming.body.len()).unwrap_or(i32::MAX),
        remote_address: text(ADDRESS),
        status: WebhookStatus::Received.into(),
        ..Webhook::default()
    };
    let event = WebhookReceived {
        webhook_id: webhook.id.clone(),
        source: webhook.source.clone(),
        delivery_id: webhook.delivery_id.clone(),
        size: webhook.size,
    };
    let content = WebhookContent {
        id: webhook.id.clone(),
        method: incoming.method,
        query: incoming.query,
        headers,
        body: incoming.body,
        ..WebhookContent::default()
    };
    Kept { webhook, content, event }
}

fn is_the_senders(name: &str) -> bool {
    NEVER.iter().all(|never| if never.ends_with('-') { !name.starts_with(never) } else { name != *never })
}

/// What makes a request happen once: the sender's id of the delivery, and everything else that is kept of it. The id
/// alone would not do: anybody can send, and a forged request with a guessed id would make the genuine one, which comes
/// a moment later, look like its repetition. A sender that signs each attempt anew is kept anew, too; the owner tells
/// it by [`artel_inbox`'s] key, after it has checked the signature.
///
/// `None` where the sender gives no id: the same twice may be meant twice.
///
/// [`artel_inbox`'s]: ../artel_inbox/index.html
pub(crate) fn once_key(kept: &Kept) -> Option<String> {
    let Kept { webhook, content, .. } = kept;
    if webhook.delivery_id.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(part.len().to_le_bytes());
        digest.update(part);
    };
    for text in [&webhook.delivery_id, &content.method, &content.query] {
        add(text.as_bytes());
    }
    for header in content.headers.iter().filter(|header| header.name != "user-agent") {
        add(header.name.as_bytes());
        add(&header.value);
    }
    add(&content.body);
    Some(format!("webhook/{}/{}", webhook.source, hex::encode(digest.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::settings;

    fn incoming(headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Incoming {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Incoming {
            source: "bank".into(),
            method: "POST".into(),
            query: "a=1&b".into(),
            headers: headers.collect(),
            body: Bytes::from_static(body),
        }
    }

    fn key(headers: &[(&'static str, &'static str)], body: &'static [u8]) -> Option<String> {
        let settings = settings("sources = ['bank=billing']\ndelivery_ids = ['bank=x-id']").unwrap();
        once_key(&kept(incoming(headers, body), &settings.source("bank").unwrap(), &settings))
    }

    #[test]
    fn what_is_kept_is_what_came_and_nothing_of_the_way() {
        let settings = settings("sources = ['bank=billing']\ndelivery_ids = ['bank=x-id']").unwrap();
        let request = incoming(
            &[
                ("x-signature", "s"),
                ("x-id", "7"),
                ("cookie", "c"),
                ("authorization", "Bearer b"),
                ("x-envoy-external-address", "203.0.113.7"),
                ("x-forwarded-for", "203.0.113.7"),
                ("x-request-id", "r"),
                ("x-correlation-id", "r"),
                ("content-type", "application/json"),
            ],
            b"\0\xff",
        );
        let Kept { webhook, content, event } = kept(request, &settings.source("bank").unwrap(), &settings);
        let names: Vec<_> = content.headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(names, ["content-type", "x-id", "x-signature"]);
        assert_eq!((&content.body[..], content.query.as_str()), (&b"\0\xff"[..], "a=1&b"));
        assert_eq!((webhook.remote_address.as_str(), webhook.owner.as_str()), ("203.0.113.7", "billing"));
        assert_eq!((event.webhook_id, event.delivery_id.as_str(), event.size), (webhook.id, "7", 2));
    }

    #[test]
    fn the_same_request_is_one_and_a_changed_one_is_another() {
        let first = key(&[("x-id", "7"), ("x-signature", "s"), ("user-agent", "a")], b"body");
        assert!(first.is_some());
        assert_eq!(first, key(&[("x-signature", "s"), ("x-id", "7"), ("user-agent", "b")], b"body"));
        // The edge names each attempt anew.
        let named = [("x-id", "7"), ("x-signature", "s"), ("x-request-id", "2"), ("x-correlation-id", "2")];
        assert_eq!(first, key(&named, b"body"));
        for other in [
            key(&[("x-id", "8"), ("x-signature", "s")], b"body"),
            key(&[("x-id", "7"), ("x-signature", "forged")], b"body"),
            key(&[("x-id", "7"), ("x-signature", "s")], b"bodyy"),
            key(&[("x-signature", "s")], b"body"),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(key(&[], b"body"), None, "without an id nothing is a repetition");
    }
}
