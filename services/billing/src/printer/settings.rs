use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::Secret;
use chrono::FixedOffset;
use serde::Deserialize;

use super::{Atol, FiscalPrinter};

/// The table `[billing.printer]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(super) url: String,
    pub(super) login: String,
    pub(super) password: Secret,
    pub(super) group: String,
    pub(super) inn: String,
    pub(super) email: String,
    pub(super) payment_address: String,
    pub(super) sno: String,
    pub(super) vat: String,
    pub(super) utc_offset: String,
    pub(super) timeout_ms: u64,
}

impl Settings {
    /// Refuses what could print nothing, naming the key.
    pub fn check(&self) -> anyhow::Result<()> {
        let http = reqwest::Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        ensure!(
            http && !self.url.ends_with('/'),
            "billing.printer.url must be an address such as https://host/possystem/v4, without a slash at its end, is \
             `{}`",
            self.url
        );
        ensure!(
            (100..=60_000).contains(&self.timeout_ms),
            "billing.printer.timeout_ms must be from 100 to 60000, is {}",
            self.timeout_ms
        );
        ensure!(
            self.email.contains('@'),
            "billing.printer.email must be an e-mail address, is `{}`",
            self.email
        );
        self.clock()?;
        Ok(())
    }

    /// The printer that is set.
    pub fn printer(&self) -> anyhow::Result<Arc<dyn FiscalPrinter>> {
        Ok(Arc::new(Atol::new(self)?))
    }

    pub(super) fn within(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn clock(&self) -> anyhow::Result<FixedOffset> {
        self.utc_offset.parse().with_context(|| {
            format!("billing.printer.utc_offset must look like +03:00, is `{}`", self.utc_offset)
        })
    }
}
