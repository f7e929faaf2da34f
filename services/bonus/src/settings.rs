use anyhow::ensure;
use artel_config::Section;
use serde::Deserialize;

/// The documented defaults of the section `[bonus]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[bonus]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) earn_percent: u32,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["earn_percent"];

    fn check(&self) -> anyhow::Result<()> {
        let percent = self.earn_percent;
        ensure!(percent <= 100, "bonus.earn_percent must be 0 to 100, is {percent}");
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> Settings {
        Config::parse(text).unwrap().section("bonus", DEFAULTS).unwrap()
    }

    #[test]
    fn the_defaults_are_good_and_what_cannot_work_is_named() {
        settings("").check().unwrap();
        let error = settings("[bonus]\nearn_percent = 101").check().unwrap_err().to_string();
        assert!(error.contains("bonus.earn_percent"), "{error}");
    }
}
