use std::time::Duration;

use anyhow::ensure;
use artel_config::{Secret, Section};
use chrono::TimeDelta;
use serde::Deserialize;

use crate::limits::Allowance;
use crate::phone::{self, Phone, Range, is_digits};

/// The documented defaults of the section `[identity]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[identity]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) key: Secret,
    access_token_seconds: u32,
    session_days: u32,
    pub(crate) password: Hashing,
    pub(crate) signing: Signing,
    pub(crate) attempts: Limits,
    pub(crate) quick_auth: QuickAuth,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hashing {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) lanes: u32,
    wait_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signing {
    publish_ahead_seconds: u32,
    rotate_days: u32,
    reload_ms: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    window_seconds: u32,
    pub(crate) per_email: u32,
    pub(crate) per_address: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuickAuth {
    pub(crate) trust_known_phone: bool,
    pub(crate) code_seconds: u32,
    device_days: u32,
    home: String,
    trunk: String,
    ranges: Vec<String>,
    pub(crate) per_phone: Vec<Allowance>,
    pub(crate) per_address: Vec<Allowance>,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["access_token_seconds", "session_days", "attempts", "quick_auth"];

    fn check(&self) -> anyhow::Result<()> {
        let lifetime = self.access_token_seconds;
        ensure!(
            (1..=86_400).contains(&lifetime),
            "identity.access_token_seconds must be 1 to 86400, is {lifetime}"
        );
        let days = self.session_days;
        ensure!((1..=3_650).contains(&days), "identity.session_days must be 1 to 3650, is {days}");
        let reload = self.signing.reload_ms;
        ensure!(
            (10..=600_000).contains(&reload),
            "identity.signing.reload_ms must be 10 to 600000, is {reload}"
        );
        let ahead = self.signing.publish_ahead();
        ensure!(
            ahead > self.signing.reload(),
            "identity.signing.publish_ahead_seconds must be more than reload_ms, or a copy would not know the key \
             that signs"
        );
        let Limits { window_seconds, per_email, per_address } = self.attempts;
        ensure!(
            (1..=86_400).contains(&window_seconds),
            "identity.attempts.window_seconds must be 1 to 86400, is {window_seconds}"
        );
        ensure!(per_email > 0 && per_address > 0, "identity.attempts must allow at least one of each");
        self.quick_auth.check()?;
        let Hashing { memory_kib, iterations, lanes, .. } = self.password;
        argon2::Params::new(memory_kib, iterations, lanes, None)
            .map_err(|error| anyhow::anyhow!("identity.password cannot work: {error}"))?;
        Ok(())
    }
}

impl Settings {
    pub(crate) fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds.into())
    }

    pub(crate) fn session_lifetime(&self) -> Duration {
        Duration::from_secs(u64::from(self.session_days) * 86_400)
    }
}

impl QuickAuth {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (30..=3_600).contains(&self.code_seconds),
            "identity.quick_auth.code_seconds must be 30 to 3600, is {}",
            self.code_seconds
        );
        ensure!(
            (1..=3_650).contains(&self.device_days),
            "identity.quick_auth.device_days must be 1 to 3650, is {}",
            self.device_days
        );
        ensure!(
            self.home.strip_prefix('+').is_some_and(is_digits),
            "identity.quick_auth.home must be a country's code such as +7, is `{}`",
            self.home
        );
        ensure!(
            self.trunk.is_empty() || is_digits(&self.trunk),
            "identity.quick_auth.trunk must be digits or nothing, is `{}`",
            self.trunk
        );
        for range in &self.ranges {
            range.parse::<Range>().map_err(|error| anyhow::anyhow!("identity.quick_auth.ranges: {error}"))?;
        }
        ensure!(!self.per_phone.is_empty(), "identity.quick_auth.per_phone must hold at least one limit");
        Ok(())
    }

    /// The number that somebody typed; `None` where it is none, or of a country that is not served.
    pub(crate) fn phone(&self, text: &str) -> Option<Phone> {
        let ranges: Vec<Range> = self.ranges.iter().filter_map(|range| range.parse().ok()).collect();
        phone::read(text, &ranges, self.home.trim_start_matches('+'), &self.trunk)
    }

    /// How long a code is good.
    pub(crate) fn code_lifetime(&self) -> TimeDelta {
        TimeDelta::seconds(self.code_seconds.into())
    }

    /// How long a device signs in without a code.
    pub(crate) fn device_lifetime(&self) -> TimeDelta {
        TimeDelta::days(self.device_days.into())
    }
}

impl Hashing {
    /// The longest wait for a processor.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.wait_ms)
    }
}

impl Signing {
    pub(crate) fn publish_ahead(&self) -> Duration {
        Duration::from_secs(self.publish_ahead_seconds.into())
    }

    /// `None` where keys are not replaced by themselves.
    pub(crate) fn rotate_after(&self) -> Option<Duration> {
        (self.rotate_days > 0).then(|| Duration::from_secs(u64::from(self.rotate_days) * 86_400))
    }

    pub(crate) fn reload(&self) -> Duration {
        Duration::from_millis(self.reload_ms)
    }
}

impl Limits {
    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs(self.window_seconds.into())
    }
}

#[cfg(test)]
mod tests {
    use artel_config::Config;

    use super::*;

    fn settings(text: &str) -> Settings {
        Config::parse(text).unwrap().section("identity", DEFAULTS).unwrap()
    }

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        settings("").check().unwrap();
        for (key, text) in [
            ("access_token_seconds", "[identity]\naccess_token_seconds = 0"),
            ("session_days", "[identity]\nsession_days = 0"),
            ("reload_ms", "[identity.signing]\nreload_ms = 0"),
            ("publish_ahead_seconds", "[identity.signing]\npublish_ahead_seconds = 5"),
            ("password", "[identity.password]\nmemory_kib = 1"),
            ("window_seconds", "[identity.attempts]\nwindow_seconds = 0"),
            ("code_seconds", "[identity.quick_auth]\ncode_seconds = 10"),
            ("device_days", "[identity.quick_auth]\ndevice_days = 0"),
            ("home", "[identity.quick_auth]\nhome = '7'"),
            ("trunk", "[identity.quick_auth]\ntrunk = '+'"),
            ("ranges", "[identity.quick_auth]\nranges = ['+7']"),
            ("per_phone", "[identity.quick_auth]\nper_phone = []"),
        ] {
            let error = settings(text).check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
