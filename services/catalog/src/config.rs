use anyhow::ensure;
use artel_handle::Section;
use serde::Deserialize;

/// The documented defaults of the section `[catalog]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section `[catalog]`. `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Settings {
    pub assumed_stock: i32,
    pub import_batch: usize,
    pub import_concurrency: usize,
    pub tree_ttl_ms: u64,
    pub tree_kept_s: u64,
    pub facets_ttl_ms: u64,
    pub facets_kept: u64,
}

impl Section for Settings {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["assumed_stock", "import_batch", "import_concurrency"];

    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            (0..=1_000_000_000).contains(&self.assumed_stock),
            "catalog.assumed_stock must be from 0 to 1000000000, is {}",
            self.assumed_stock
        );
        ensure!(
            (1..=400).contains(&self.import_batch),
            "catalog.import_batch must be from 1 to 400, is {}",
            self.import_batch
        );
        ensure!(
            (1..=16).contains(&self.import_concurrency),
            "catalog.import_concurrency must be from 1 to 16, is {}",
            self.import_concurrency
        );
        ensure!(
            self.facets_ttl_ms <= 60_000,
            "catalog.facets_ttl_ms must be from 0 to 60000, is {}",
            self.facets_ttl_ms
        );
        ensure!(
            (1..=100_000).contains(&self.facets_kept),
            "catalog.facets_kept must be from 1 to 100000, is {}",
            self.facets_kept
        );
        Ok(())
    }
}
