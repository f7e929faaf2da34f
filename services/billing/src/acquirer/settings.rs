use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use artel_config::Secret;
use serde::Deserialize;

use super::{Acquirer, Halyk, Plain};

/// The table `[billing.acquirer]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    kind: Kind,
    timeout_ms: u64,
    pub(super) halyk: HalykSettings,
    pub(super) plain: PlainSettings,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Halyk,
    Plain,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HalykSettings {
    pub url: String,
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub terminal: String,
    pub post_link: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlainSettings {
    pub url: String,
    pub api_key: Secret,
}

impl Settings {
    /// Refuses what could charge nobody, naming the key.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (100..=60_000).contains(&self.timeout_ms),
            "billing.acquirer.timeout_ms must be from 100 to 60000, is {}",
            self.timeout_ms
        );
        match self.kind {
            Kind::Halyk => {
                address("halyk.url", &self.halyk.url)?;
                address("halyk.token_url", &self.halyk.token_url)?;
                ensure!(
                    self.halyk.post_link.is_empty() || reqwest::Url::parse(&self.halyk.post_link).is_ok(),
                    "billing.acquirer.halyk.post_link must be empty or an address such as \
                     https://host/webhooks/halyk, is `{}`",
                    self.halyk.post_link
                );
            }
            Kind::Plain => address("plain.url", &self.plain.url)?,
        }
        Ok(())
    }

    /// The bank that is set.
    pub fn acquirer(&self) -> anyhow::Result<Arc<dyn Acquirer>> {
        Ok(match self.kind {
            Kind::Halyk => Arc::new(Halyk::new(&self.halyk, self.within())?),
            Kind::Plain => Arc::new(Plain::new(&self.plain, self.within())?),
        })
    }

    /// How long a call may take.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

fn address(key: &str, url: &str) -> anyhow::Result<()> {
    let http = reqwest::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    ensure!(
        http && !url.ends_with('/'),
        "billing.acquirer.{key} must be an address such as https://host/api, without a slash at its end, is `{url}`"
    );
    Ok(())
}
