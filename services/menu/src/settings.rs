use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::Section;
use artel_proto::menu::DayPart;
use chrono::FixedOffset;
use serde::Deserialize;

use crate::day::{Day, Span};

/// The documented defaults of the section `[menu]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[menu]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    utc_offset: String,
    kept_ms: u64,
    stock_known_seconds: u32,
    day_parts: DayParts,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayParts {
    breakfast: String,
    lunch: String,
    dinner: String,
    night: String,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["utc_offset", "kept_ms", "day_parts"];

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (1..=500).contains(&self.kept_ms),
            "menu.kept_ms must be 1 to 500, or the menu would be older than a second; is {}",
            self.kept_ms
        );
        let known = self.stock_known_seconds;
        ensure!((1..=86_400).contains(&known), "menu.stock_known_seconds must be 1 to 86400, is {known}");
        self.day()?;
        Ok(())
    }
}

impl Settings {
    /// How old a menu may be that is shown.
    pub(crate) fn kept(&self) -> Duration {
        Duration::from_millis(self.kept_ms)
    }

    /// For how long it counts what the kitchen said last.
    pub(crate) fn stock_known(&self) -> Duration {
        Duration::from_secs(self.stock_known_seconds.into())
    }

    pub(crate) fn day(&self) -> anyhow::Result<Day> {
        let clock: FixedOffset = self
            .utc_offset
            .parse()
            .with_context(|| format!("menu.utc_offset must look like +05:00, is `{}`", self.utc_offset))?;
        let parts = [
            (DayPart::Breakfast, "breakfast", &self.day_parts.breakfast),
            (DayPart::Lunch, "lunch", &self.day_parts.lunch),
            (DayPart::Dinner, "dinner", &self.day_parts.dinner),
            (DayPart::Night, "night", &self.day_parts.night),
        ];
        let span = |(part, name, text): (DayPart, &str, &String)| {
            let span = Span::parse(text)
                .with_context(|| format!("menu.day_parts.{name} must look like 07:00-12:00, is `{text}`"))?;
            Ok((part, span))
        };
        Ok(Day { clock, parts: parts.into_iter().map(span).collect::<anyhow::Result<_>>()? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> Settings {
        Config::parse(text).unwrap().section("menu", DEFAULTS).unwrap()
    }

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        settings("").check().unwrap();
        for (key, text) in [
            ("kept_ms", "[menu]\nkept_ms = 501"),
            ("stock_known_seconds", "[menu]\nstock_known_seconds = 0"),
            ("utc_offset", "[menu]\nutc_offset = 'Almaty'"),
            ("day_parts.lunch", "[menu.day_parts]\nlunch = '11:00'"),
        ] {
            let error = format!("{:#}", settings(text).check().unwrap_err());
            assert!(error.contains(key), "{error}");
        }
    }
}
