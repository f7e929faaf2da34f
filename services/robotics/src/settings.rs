use std::time::Duration;

use anyhow::ensure;
use artel_config::Section;
use chrono::TimeDelta;
use reqwest::Url;
use serde::Deserialize;

use crate::cooking::Pauses;

/// The documented defaults of the section `[robotics]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[robotics]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) line_url: String,
    line_timeout_ms: u64,
    line_wait_seconds: u64,
    sweep_ms: u64,
    look_again_seconds: u32,
    away_pause_ms: u32,
    restart_first_ms: u32,
    restart_longest_ms: u32,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;

    fn check(&self) -> anyhow::Result<()> {
        let is_http = Url::parse(&self.line_url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        ensure!(
            is_http && !self.line_url.ends_with('/'),
            "robotics.line_url must be an address such as http://host:port, without a slash at its end, is `{}`",
            self.line_url
        );
        let bounds = [
            ("line_timeout_ms", self.line_timeout_ms, 100, 60_000),
            ("line_wait_seconds", self.line_wait_seconds, 1, 60),
            ("sweep_ms", self.sweep_ms, 10, 600_000),
            ("look_again_seconds", self.look_again_seconds.into(), 1, 3_600),
            ("away_pause_ms", self.away_pause_ms.into(), 10, 600_000),
            ("restart_first_ms", self.restart_first_ms.into(), 10, 600_000),
            ("restart_longest_ms", self.restart_longest_ms.into(), self.restart_first_ms.into(), 3_600_000),
        ];
        for (key, value, least, most) in bounds {
            ensure!((least..=most).contains(&value), "robotics.{key} must be {least} to {most}, is {value}");
        }
        Ok(())
    }
}

impl Settings {
    pub(crate) fn line_within(&self) -> Duration {
        Duration::from_millis(self.line_timeout_ms)
    }

    pub(crate) fn line_waits(&self) -> Duration {
        Duration::from_secs(self.line_wait_seconds)
    }

    pub(crate) fn sweep(&self) -> Duration {
        Duration::from_millis(self.sweep_ms)
    }

    pub(crate) fn pauses(&self) -> Pauses {
        Pauses {
            look_again: TimeDelta::seconds(self.look_again_seconds.into()),
            away: TimeDelta::milliseconds(self.away_pause_ms.into()),
            first: TimeDelta::milliseconds(self.restart_first_ms.into()),
            longest: TimeDelta::milliseconds(self.restart_longest_ms.into()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> Settings {
        Config::parse(&format!("[robotics]\n{text}")).unwrap().section("robotics", DEFAULTS).unwrap()
    }

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        settings("").check().unwrap();
        for (key, text) in [
            ("line_url", "line_url = 'robots'"),
            ("line_url", "line_url = 'http://robots/'"),
            ("line_timeout_ms", "line_timeout_ms = 1"),
            ("line_wait_seconds", "line_wait_seconds = 0"),
            ("sweep_ms", "sweep_ms = 0"),
            ("restart_longest_ms", "restart_longest_ms = 999"),
        ] {
            let error = settings(text).check().unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }
}
