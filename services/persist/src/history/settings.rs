use std::time::Duration;

use anyhow::ensure;
use serde::Deserialize;

/// The table `[watch]` of the section; `config.toml` says what each key means.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Bounds {
    pub most: usize,
    pub page: usize,
    pub pages: usize,
    pub catch_ups: usize,
    pub pause_ms: u64,
    pub poll_ms: u64,
    pub heartbeat_ms: u64,
    pub stall_ms: u64,
}

impl Bounds {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let within = |key: &str, value: u64, most: u64| {
            ensure!((1..=most).contains(&value), "persist.watch.{key} must be 1 to {most}, is {value}");
            Ok(())
        };
        within("most", self.most as u64, 1_000_000)?;
        within("page", self.page as u64, 10_000)?;
        within("pages", self.pages as u64, 1_000)?;
        within("catch_ups", self.catch_ups as u64, 100)?;
        within("pause_ms", self.pause_ms, 10_000)?;
        within("poll_ms", self.poll_ms, 60_000)?;
        within("heartbeat_ms", self.heartbeat_ms, 3_600_000)?;
        within("stall_ms", self.stall_ms, 3_600_000)
    }

    pub(crate) fn pause(&self) -> Duration {
        Duration::from_millis(self.pause_ms)
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_millis(self.stall_ms)
    }
}
