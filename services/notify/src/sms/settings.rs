use std::time::Duration;

use anyhow::ensure;
use artel_config::Secret;
use chrono::TimeDelta;
use serde::Deserialize;

/// The table `[notify.sms]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmsSettings {
    pub url: String,
    pub login: String,
    pub password: Secret,
    pub sender: String,
    timeout_ms: u64,
    give_up_after_minutes: u32,
}

impl SmsSettings {
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn give_up_after(&self) -> TimeDelta {
        TimeDelta::minutes(self.give_up_after_minutes.into())
    }

    pub fn check(&self) -> anyhow::Result<()> {
        if self.is_on() {
            let url = reqwest::Url::parse(&self.url);
            ensure!(
                url.is_ok_and(|url| url.host().is_some()) && !self.url.ends_with('/'),
                "notify.sms.url must be an address without a slash at the end, such as https://smsc.kz/sys"
            );
            ensure!(!self.login.is_empty(), "notify.sms.login must be set where notify.sms.url is");
        }
        ensure!(self.timeout_ms >= 100, "notify.sms.timeout_ms must be at least 100");
        Ok(())
    }
}
