//! `artel config`: what takes effect, for people.

use artel_config::Config;

/// The sections there are: what all share, and the services that have keys of their own.
pub(crate) const SECTIONS: [&str; 6] = ["mesh", "persist", "identity", "catalog", "notify", "gateway"];

/// Prints a section as it takes effect, secrets masked.
pub(crate) fn run(config: &Config, section: &str) -> anyhow::Result<()> {
    let defaults = match section {
        "persist" => artel_persist::DEFAULTS,
        "identity" => artel_identity::DEFAULTS,
        "catalog" => artel_catalog::DEFAULTS,
        "notify" => artel_notify::DEFAULTS,
        "gateway" => artel_gateway::DEFAULTS,
        _ => artel_handle::MESH_DEFAULTS,
    };
    print!("{}", config.show(section, defaults)?);
    Ok(())
}
