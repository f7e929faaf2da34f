use std::time::Duration;

use anyhow::ensure;
use artel_handle::Section;
use artel_process::Rules;
use chrono::TimeDelta;
use serde::Deserialize;

use crate::{acquirer, printer};

/// The documented defaults of the section `[billing]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[billing]`; `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    lease_ms: u64,
    step_ms: u64,
    at_once: usize,
    answer_ms: u64,
    reconcile_hours: u32,
    pub acquirer: acquirer::Settings,
    pub printer: printer::Settings,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;

    fn check(&self) -> anyhow::Result<()> {
        self.acquirer.check()?;
        self.printer.check()?;
        ensure!(
            self.lease_ms > self.step_ms,
            "billing.lease_ms must be more than billing.step_ms, {}, is {}",
            self.step_ms,
            self.lease_ms
        );
        ensure!(
            self.rules().step > self.acquirer.within(),
            "billing.step_ms must be more than billing.acquirer.timeout_ms, {}, is {}",
            self.acquirer.within().as_millis(),
            self.step_ms
        );
        ensure!(
            (1..=10_000).contains(&self.at_once),
            "billing.at_once must be 1 to 10000, is {}",
            self.at_once
        );
        ensure!(self.answer_ms >= 1000, "billing.answer_ms must be at least 1000, is {}", self.answer_ms);
        ensure!(
            (1..=720).contains(&self.reconcile_hours),
            "billing.reconcile_hours must be 1 to 720, is {}",
            self.reconcile_hours
        );
        Ok(())
    }
}

impl Settings {
    /// The times of payments and refunds.
    pub fn rules(&self) -> Rules {
        let (lease, step) = (Duration::from_millis(self.lease_ms), Duration::from_millis(self.step_ms));
        Rules { lease, step, at_once: self.at_once, ..Rules::default() }
    }

    /// How long who asks waits at most.
    pub fn answer(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
    }

    /// For how long a failed payment is looked up.
    pub fn reconcile(&self) -> TimeDelta {
        TimeDelta::hours(self.reconcile_hours.into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use artel_config::Config;

    use super::*;

    pub(crate) fn settings(text: &str) -> anyhow::Result<Settings> {
        let settings: Settings = Config::parse(text)?.section("billing", DEFAULTS)?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn the_defaults_are_valid() {
        settings("").unwrap();
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let wrong = [
            ("lease_ms = 4000", "billing.lease_ms"),
            ("step_ms = 3000", "billing.step_ms"),
            ("at_once = 0", "billing.at_once"),
            ("answer_ms = 1", "billing.answer_ms"),
            ("reconcile_hours = 0", "billing.reconcile_hours"),
        ];
        for (text, key) in wrong {
            let refused = settings(&format!("[billing]\n{text}")).unwrap_err().to_string();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
