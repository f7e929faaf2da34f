//! `artel config`: what takes effect, for people.

use artel_config::{Config, Overrides, Shape};

use crate::services;

/// What `artel config` takes: `mesh`, and every service.
pub(crate) fn sections() -> Vec<&'static str> {
    services::NAMES_OR_ALL.iter().map(|name| if *name == "all" { "mesh" } else { name }).collect()
}

/// Prints a section as it takes effect, secrets masked.
pub(crate) fn run(config: &Config, section: &str) -> anyhow::Result<()> {
    let defaults = match section {
        "persist" => artel_persist::DEFAULTS,
        "identity" => artel_identity::DEFAULTS,
        "catalog" => artel_catalog::DEFAULTS,
        "notify" => artel_notify::DEFAULTS,
        "gateway" => artel_gateway::DEFAULTS,
        "mesh" => artel_handle::MESH_DEFAULTS,
        _ => {
            println!(
                "# `{section}` has no keys of its own: all it needs is in [mesh], see `artel config mesh`."
            );
            return Ok(());
        }
    };
    print!("{}", config.show(section, &Shape::plain(defaults), &Overrides::default())?);
    Ok(())
}
