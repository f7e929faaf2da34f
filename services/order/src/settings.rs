use std::time::Duration;

use anyhow::ensure;
use artel_config::Section;
use chrono::TimeDelta;
use serde::Deserialize;

use crate::DEFAULTS;

/// The section `[order]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pay_within_minutes: u32,
    pub board: Board,
}

/// The table `[order.board]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Board {
    clear_after_minutes: u32,
    pub remembered: usize,
    heartbeat_seconds: u32,
    pub max_screens: usize,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["pay_within_minutes", "board"];

    fn check(&self) -> anyhow::Result<()> {
        let minutes = self.pay_within_minutes;
        ensure!((1..=1_440).contains(&minutes), "order.pay_within_minutes must be 1 to 1440, is {minutes}");
        let Board { clear_after_minutes, remembered, heartbeat_seconds, max_screens } = self.board;
        ensure!(
            (1..=1_440).contains(&clear_after_minutes),
            "order.board.clear_after_minutes must be 1 to 1440, is {clear_after_minutes}"
        );
        ensure!(
            (1..=100_000).contains(&remembered),
            "order.board.remembered must be 1 to 100000, is {remembered}"
        );
        ensure!(
            (1..=300).contains(&heartbeat_seconds),
            "order.board.heartbeat_seconds must be 1 to 300, is {heartbeat_seconds}"
        );
        ensure!(max_screens >= 1, "order.board.max_screens must be at least 1");
        Ok(())
    }
}

impl Settings {
    /// How long dishes wait for their payment.
    pub fn pay_within(&self) -> TimeDelta {
        TimeDelta::minutes(self.pay_within_minutes.into())
    }
}

impl Board {
    /// How long a number is called.
    pub fn clear_after(&self) -> TimeDelta {
        TimeDelta::minutes(self.clear_after_minutes.into())
    }

    /// The longest silence.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds.into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> Settings {
        Config::parse(text).unwrap().section("order", DEFAULTS).unwrap()
    }

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        settings("").check().unwrap();
        for (key, text) in [
            ("pay_within_minutes", "[order]\npay_within_minutes = 0"),
            ("clear_after_minutes", "[order.board]\nclear_after_minutes = 0"),
            ("remembered", "[order.board]\nremembered = 0"),
            ("heartbeat_seconds", "[order.board]\nheartbeat_seconds = 0"),
            ("max_screens", "[order.board]\nmax_screens = 0"),
        ] {
            let refused = settings(text).check().unwrap_err().to_string();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
