use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_config::Section;
use chrono::FixedOffset;
use serde::Deserialize;

use crate::DEFAULTS;

/// The section `[statistics]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    utc_offset: String,
    cache_ms: u64,
    pub max_orders: usize,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["utc_offset", "cache_ms", "max_orders"];

    fn check(&self) -> anyhow::Result<()> {
        self.clock()?;
        ensure!(self.cache_ms <= 1_000, "statistics.cache_ms must be at most 1000, is {}", self.cache_ms);
        ensure!(self.max_orders >= 1, "statistics.max_orders must be at least 1");
        Ok(())
    }
}

impl Settings {
    /// The restaurant's clock.
    pub fn clock(&self) -> anyhow::Result<FixedOffset> {
        let offset = &self.utc_offset;
        offset.parse().with_context(|| format!("statistics.utc_offset must look like +05:00, is `{offset}`"))
    }

    /// How long a report is shown again.
    pub fn cache(&self) -> Duration {
        Duration::from_millis(self.cache_ms)
    }
}

#[cfg(test)]
mod tests {
    use artel_config::Config;

    use super::*;

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        let settings = |text: &str| -> Settings {
            Config::parse(text).unwrap().section("statistics", DEFAULTS).unwrap()
        };
        settings("").check().unwrap();
        for key in ["utc_offset = 'Almaty'", "cache_ms = 1001", "max_orders = 0"] {
            let refused = settings(&format!("[statistics]\n{key}")).check().unwrap_err().to_string();
            assert!(refused.contains(key.split(' ').next().unwrap()), "{refused}");
        }
    }
}
