use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::Section;
use http::HeaderName;
use serde::Deserialize;

use crate::DEFAULTS;

/// Greatest body that may be allowed: what `persist` takes in one message, and room to spare.
const LARGEST: usize = 16 << 20;

/// The section `[webhook]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    sources: Vec<String>,
    delivery_ids: Vec<String>,
    headers: Vec<String>,
    pub max_body_bytes: usize,
    pub max_under_way: usize,
    body_timeout_ms: u64,
    keep_timeout_ms: u64,
    keep_days: u32,
    keep_unsettled_days: u32,
}

/// Who sends, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub owner: String,
    /// The header with the sender's own id of a delivery.
    pub delivery_id: Option<HeaderName>,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    // How many may be under way is the size of a semaphore, made at the start.
    const LIVE: &'static [&'static str] = &[
        "sources",
        "delivery_ids",
        "headers",
        "max_body_bytes",
        "body_timeout_ms",
        "keep_timeout_ms",
        "keep_days",
        "keep_unsettled_days",
    ];

    fn check(&self) -> anyhow::Result<()> {
        self.all()?;
        for name in &self.headers {
            let plain = name.strip_suffix('*').unwrap_or(name);
            let known = plain.is_empty() || HeaderName::try_from(plain).is_ok_and(|it| it.as_str() == plain);
            ensure!(known, "webhook.headers: `{name}` is no header's name in lower case");
        }
        ensure!(
            (1..=LARGEST).contains(&self.max_body_bytes),
            "webhook.max_body_bytes must be 1 to {LARGEST}, is {}",
            self.max_body_bytes
        );
        ensure!(self.max_under_way >= 1, "webhook.max_under_way must be at least 1");
        ensure!(self.body_timeout_ms >= 100, "webhook.body_timeout_ms must be at least 100");
        ensure!(self.keep_timeout_ms >= 100, "webhook.keep_timeout_ms must be at least 100");
        ensure!(self.keep_days >= 1, "webhook.keep_days must be at least 1");
        ensure!(
            self.keep_unsettled_days >= self.keep_days,
            "webhook.keep_unsettled_days must be at least webhook.keep_days"
        );
        Ok(())
    }
}

impl Settings {
    /// The source of that name, where there is one.
    pub fn source(&self, name: &str) -> Option<Source> {
        self.all().ok()?.remove(name)
    }

    /// Whether a header is kept.
    pub fn keeps(&self, name: &str) -> bool {
        self.headers.iter().any(|kept| match kept.strip_suffix('*') {
            Some(begin) => name.starts_with(begin),
            None => name == kept,
        })
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub fn keep_timeout(&self) -> Duration {
        Duration::from_millis(self.keep_timeout_ms)
    }

    pub fn keep_days(&self) -> u32 {
        self.keep_days
    }

    pub fn keep_unsettled_days(&self) -> u32 {
        self.keep_unsettled_days
    }

    fn all(&self) -> anyhow::Result<BTreeMap<String, Source>> {
        let mut sources = BTreeMap::new();
        for pair in &self.sources {
            let (name, owner) = pair
                .split_once('=')
                .with_context(|| format!("webhook.sources: `{pair}` must look like source=service"))?;
            ensure!(
                is_name(name),
                "webhook.sources: `{name}` must be lower-case letters, digits and hyphens"
            );
            ensure!(is_name(owner), "webhook.sources: `{owner}` is no service's name");
            let source = Source { owner: owner.to_owned(), delivery_id: None };
            ensure!(
                sources.insert(name.to_owned(), source).is_none(),
                "webhook.sources names `{name}` twice"
            );
        }
        for pair in &self.delivery_ids {
            let (name, header) = pair
                .split_once('=')
                .with_context(|| format!("webhook.delivery_ids: `{pair}` must look like source=header"))?;
            let header = HeaderName::try_from(header)
                .with_context(|| format!("webhook.delivery_ids: `{header}` is no header's name"))?;
            let source = sources
                .get_mut(name)
                .with_context(|| format!("webhook.delivery_ids: `{name}` is not among webhook.sources"))?;
            ensure!(
                source.delivery_id.replace(header).is_none(),
                "webhook.delivery_ids names `{name}` twice"
            );
        }
        Ok(sources)
    }
}

fn is_name(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> anyhow::Result<Settings> {
        let settings: Settings =
            Config::parse(&format!("[webhook]\n{text}"))?.section("webhook", DEFAULTS)?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn a_source_has_an_owner_and_may_have_ids() {
        let settings =
            settings("sources = ['bank=billing', 'sms=notify']\ndelivery_ids = ['bank=X-Delivery']").unwrap();
        let bank = settings.source("bank").unwrap();
        assert_eq!((bank.owner.as_str(), bank.delivery_id.unwrap().as_str()), ("billing", "x-delivery"));
        assert_eq!(settings.source("sms").unwrap().delivery_id, None);
        assert_eq!(settings.source("nobody"), None);
    }

    #[test]
    fn headers_are_kept_by_name_and_by_beginning() {
        let settings = settings("headers = ['content-type', 'x-*']").unwrap();
        let kept = ["content-type", "x-signature"].map(|name| settings.keeps(name));
        let dropped = ["content-types", "cookie", "authorization"].map(|name| settings.keeps(name));
        assert_eq!((kept, dropped), ([true; 2], [false; 3]));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (text, named) in [
            ("sources = ['bank']", "webhook.sources"),
            ("sources = ['Bank=billing']", "webhook.sources"),
            ("sources = ['bank=']", "webhook.sources"),
            ("sources = ['bank=a', 'bank=b']", "twice"),
            ("delivery_ids = ['bank=x-id']", "webhook.delivery_ids"),
            ("sources = ['bank=a']\ndelivery_ids = ['bank=not a header']", "webhook.delivery_ids"),
            ("headers = ['X-Upper']", "webhook.headers"),
            ("max_body_bytes = 20000000", "webhook.max_body_bytes"),
            ("max_under_way = 0", "webhook.max_under_way"),
            ("keep_days = 0", "webhook.keep_days"),
            ("keep_unsettled_days = 1", "webhook.keep_unsettled_days"),
            ("colour = 'red'", "colour"),
        ] {
            let error = format!("{:#}", settings(text).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
