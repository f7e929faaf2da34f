use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::Secret;
use chrono::TimeDelta;
use serde::Deserialize;

use super::wire::Account;

/// The table `[notify.push]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PushSettings {
    pub url: String,
    pub project: String,
    key: Secret,
    timeout_ms: u64,
    give_up_after_minutes: u32,
}

impl PushSettings {
    pub fn is_on(&self) -> bool {
        !self.url.is_empty()
    }

    /// Whom we are to the provider.
    pub fn account(&self) -> anyhow::Result<Account> {
        // What is wrong with it is not said: that would print it.
        let account: Option<Account> = serde_json::from_str(self.key.reveal()).ok();
        let account = account.filter(Account::is_good);
        account
            .context("notify.push.key must be the JSON of a service account's key; name its file in key_file")
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
                "notify.push.url must be an address without a slash at the end, such as https://fcm.googleapis.com"
            );
            let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':' || c == '.';
            ensure!(
                !self.project.is_empty() && self.project.chars().all(letters),
                "notify.push.project must be the id of a Firebase project, is `{}`",
                self.project
            );
            self.account()?;
        }
        ensure!(self.timeout_ms >= 100, "notify.push.timeout_ms must be at least 100");
        Ok(())
    }
}
