use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::{Secret, Section};
use chrono::{FixedOffset, TimeDelta};
use lettre::message::Mailbox;
use serde::Deserialize;

use crate::DEFAULTS;
use crate::language::Language;
use crate::letter::Rules;
use crate::push::PushSettings;
use crate::sms::SmsSettings;
use crate::templates::{Templates, Voice};

/// The section `[notify]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub smtp: String,
    pub smtp_user: String,
    pub smtp_password: Secret,
    pub smtp_connections: u32,
    pub send_timeout_ms: u64,
    from: String,
    pub message_domain: String,
    language: String,
    utc_offset: String,
    lease_ms: u64,
    sweep_ms: u64,
    give_up_after_hours: u32,
    pub sms: SmsSettings,
    pub push: PushSettings,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["from", "language", "utc_offset"];

    /// Refuses what would only show when something is to be sent.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.lease_ms > self.send_timeout_ms,
            "notify.lease_ms must be more than notify.send_timeout_ms"
        );
        ensure!(self.sweep_ms >= 100, "notify.sweep_ms must be at least 100");
        ensure!(self.smtp_connections >= 1, "notify.smtp_connections must be at least 1");
        let domain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        ensure!(
            !self.message_domain.is_empty() && self.message_domain.chars().all(domain),
            "notify.message_domain must be a domain name, is `{}`",
            self.message_domain
        );
        self.from()?;
        self.tongue()?;
        self.sms.check()?;
        self.push.check()?;
        // An SMS may take three requests: whether it was taken, its code, itself. A push message two, with its token.
        ensure!(
            self.sms.timeout() * 3 <= self.send_within(),
            "notify.sms.timeout_ms must be at most a third of notify.send_timeout_ms"
        );
        ensure!(
            self.push.timeout() * 3 <= self.send_within(),
            "notify.push.timeout_ms must be at most a third of notify.send_timeout_ms"
        );
        Ok(())
    }
}

impl Settings {
    /// Who e-mails are from.
    pub fn from(&self) -> anyhow::Result<Mailbox> {
        self.from.parse().context("notify.from must look like: Shop <shop@example.com>")
    }

    /// What messages are written with.
    pub fn voice(&self, templates: Templates) -> anyhow::Result<Voice> {
        let (language, clock) = self.tongue()?;
        Ok(Voice { templates, language, clock })
    }

    fn tongue(&self) -> anyhow::Result<(Language, FixedOffset)> {
        let language = Language::of(&self.language)
            .with_context(|| format!("notify.language must be ru, kk or en, is `{}`", self.language))?;
        let clock: FixedOffset = self
            .utc_offset
            .parse()
            .with_context(|| format!("notify.utc_offset must look like +03:00, is `{}`", self.utc_offset))?;
        Ok((language, clock))
    }

    pub fn rules(&self) -> Rules {
        Rules {
            lease: Duration::from_millis(self.lease_ms),
            send_within: self.send_within(),
            give_up_after: TimeDelta::hours(self.give_up_after_hours.into()),
        }
    }

    pub fn sms_rules(&self) -> Rules {
        Rules { give_up_after: self.sms.give_up_after(), ..self.rules() }
    }

    pub fn push_rules(&self) -> Rules {
        Rules { give_up_after: self.push.give_up_after(), ..self.rules() }
    }

    /// The language of people who chose none.
    pub fn language(&self) -> anyhow::Result<Language> {
        Ok(self.tongue()?.0)
    }

    pub fn send_within(&self) -> Duration {
        Duration::from_millis(self.send_timeout_ms)
    }

    pub fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> anyhow::Result<Settings> {
        let settings: Settings = Config::parse(text)?.section("notify", DEFAULTS)?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_valid() {
        settings("").unwrap().voice(Templates::load().unwrap()).unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused_at_the_start() {
        assert!(settings("[notify]\nlease_ms = 1000").is_err(), "a lease that ends before the sending");
        assert!(settings("[notify]\nmessage_domain = 'a>\\nX: y'").is_err());
        assert!(settings("[notify]\nlanguage = 'de'").is_err());
        assert!(settings("[notify]\nutc_offset = 'Moscow'").is_err());
        assert!(settings("[notify]\nfrom = 'nobody'").is_err());
        for (named, text) in [
            ("notify.sms.url", "[notify.sms]\nurl = 'smsc'\nlogin = 'a'"),
            ("notify.sms.url", "[notify.sms]\nurl = 'https://smsc.kz/sys/'\nlogin = 'a'"),
            ("notify.sms.login", "[notify.sms]\nurl = 'https://smsc.kz/sys'"),
            ("notify.sms.timeout_ms", "[notify.sms]\ntimeout_ms = 9999"),
            ("notify.push.project", "[notify.push]\nurl = 'https://fcm.googleapis.com'"),
            (
                "notify.push.key",
                "[notify.push]\nurl = 'https://fcm.googleapis.com'\nproject = 'a'\nkey = 'hunter2'",
            ),
            ("notify.push.timeout_ms", "[notify.push]\ntimeout_ms = 9999"),
        ] {
            let error = format!("{:#}", settings(text).unwrap_err());
            assert!(error.contains(named) && !error.contains("hunter2"), "{error}");
        }
    }
}
