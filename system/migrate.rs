//! `artel migrate`: the database brought to this version.

use artel_config::Config;
use artel_persist::{DEFAULTS, Settings};

/// Runs what is missing and says so.
pub(crate) async fn run(config: &Config) -> anyhow::Result<()> {
    let settings: Settings = config.section("persist", DEFAULTS)?;
    let run = artel_persist::migrate(settings.migration_url()).await?;
    match run.as_slice() {
        [] => println!("The database is up to date."),
        names => println!("Migrated: {}.", names.join(", ")),
    }
    Ok(())
}
