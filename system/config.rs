//! `artel config`: what takes effect and where it comes from, for people; and settings changed in a running mesh,
//! through Consul's KV.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use artel_config::{Config, Overrides, PREFIX, Shape, path};
use artel_discovery::Consul;
use artel_handle::{MESH_DEFAULTS, MESH_SECTION, Mesh};
use clap::Subcommand;
use clap::builder::PossibleValuesParser;

use crate::services;

/// `artel config`: shows a section, or changes it.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct ConfigArgs {
    /// A service, or `mesh` for what all share
    #[arg(value_parser = PossibleValuesParser::new(sections()))]
    section: Option<String>,
    /// Say where each value comes from, and which are taken without a restart
    #[arg(long)]
    origin: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Set a key in Consul for every copy, now and later; refused here where services would refuse it
    #[command(after_help = "Examples:\n  artel config set mesh.log info,artel_persist=debug\n  \
                            artel config set identity.attempts.per_email 20")]
    Set {
        /// The section and the key
        #[arg(value_name = "SECTION.KEY")]
        setting: String,
        /// The value as plain text; a list's with commas between
        value: String,
    },
    /// Take a key out of Consul: the file and the defaults stand again
    #[command(after_help = "Example: artel config unset mesh.log")]
    Unset {
        /// The section and the key
        #[arg(value_name = "SECTION.KEY")]
        setting: String,
    },
}

/// What `artel config` takes: `mesh`, and every service.
fn sections() -> Vec<&'static str> {
    services::NAMES_OR_ALL.iter().map(|name| if *name == "all" { "mesh" } else { name }).collect()
}

/// The section's shape; `None` for a service that has no keys of its own.
fn shape(section: &str) -> Option<Shape> {
    Some(match section {
        "mesh" => MESH_SECTION,
        "persist" => artel_persist::SECTION,
        "identity" => artel_identity::SECTION,
        "bonus" => artel_bonus::SECTION,
        "billing" => artel_billing::SECTION,
        "catalog" => artel_catalog::SECTION,
        "order" => artel_order::SECTION,
        "menu" => artel_menu::SECTION,
        "statistics" => artel_statistics::SECTION,
        "notify" => artel_notify::SECTION,
        "robotics" => artel_robotics::SECTION,
        "webhook" => artel_webhook::SECTION,
        "gateway" => artel_gateway::SECTION,
        _ => return None,
    })
}

/// Does what is asked, with the configuration given or else that of the mesh that the endpoints file names.
///
/// # Errors
/// Where the configuration is wrong, a change would be refused, or Consul does not answer to a change.
pub(crate) async fn run(args: ConfigArgs, file: Option<&Path>, endpoints: &Path) -> anyhow::Result<()> {
    let of_mesh = crate::operator::configuration(endpoints);
    let config = Config::load(file.or(of_mesh.as_deref())).context("the configuration is wrong")?;
    let mesh: Mesh = config.section("mesh", MESH_DEFAULTS)?;
    let consul = Consul::new(&mesh.consul)?;
    match (args.action, args.section) {
        (Some(Action::Set { setting, value }), _) => set(&config, &consul, &setting, &value).await,
        (Some(Action::Unset { setting }), _) => unset(&config, &consul, &setting).await,
        (None, Some(section)) => show(&config, &consul, &section, args.origin).await,
        (None, None) => bail!("name a section"),
    }
}

async fn show(config: &Config, consul: &Consul, section: &str, origin: bool) -> anyhow::Result<()> {
    let Some(shape) = shape(section) else {
        println!("# `{section}` has no keys of its own: all it needs is in [mesh], see `artel config mesh`.");
        return Ok(());
    };
    let mut overrides = match read(consul).await {
        Ok(overrides) => overrides,
        Err(error) => {
            eprintln!("What Consul says is left out: {error}");
            Overrides::default()
        }
    };
    if let Err(error) = config.check(section, &shape, &overrides) {
        // Where the file itself is wrong, that comes again below.
        eprintln!("What Consul says is refused, version {}: {error}", overrides.version(section));
        overrides = Overrides::default();
    }
    if !origin {
        print!("{}", config.show(section, &shape, &overrides)?);
        return Ok(());
    }
    println!("# Version in Consul: {}", overrides.version(section));
    println!("[{section}]");
    let settings = config.settings(section, &shape, &overrides)?;
    let lines: Vec<_> =
        settings.iter().map(|setting| (format!("{} = {}", setting.key, setting.value), setting)).collect();
    let width = lines.iter().map(|(line, _)| line.chars().count()).max().unwrap_or_default().min(60);
    for (line, setting) in &lines {
        println!("{line:<width$}  # {}{}", setting.origin, if setting.live { ", live" } else { "" });
    }
    Ok(())
}

async fn set(config: &Config, consul: &Consul, setting: &str, value: &str) -> anyhow::Result<()> {
    let (section, key, shape) = named(setting)?;
    let mut overrides = read(consul).await?;
    overrides.put(section, key, value, 0);
    config.check(section, &shape, &overrides)?;
    consul.put(&path(section, key), value).await?;
    let when = if shape.is_live(key) { "taken at once" } else { "takes effect after a restart" };
    println!("{setting} is set: {when}.");
    Ok(())
}

async fn unset(config: &Config, consul: &Consul, setting: &str) -> anyhow::Result<()> {
    let (section, key, shape) = named(setting)?;
    let mut overrides = read(consul).await?;
    ensure!(overrides.remove(section, key), "{setting} is not set in Consul");
    consul.delete(&path(section, key)).await?;
    let when = if shape.is_live(key) { "taken at once" } else { "takes effect after a restart" };
    println!("{setting} is no longer set in Consul: {when}.");
    // What is left may be wrong; taking away must be possible all the same, or nothing could be mended.
    config.check(section, &shape, &overrides).context("what is left in Consul is still refused")
}

/// The section, the dotted key, and the section's shape.
fn named(setting: &str) -> anyhow::Result<(&str, &str, Shape)> {
    let (section, key) = setting.split_once('.').context("name a section and a key, as mesh.log")?;
    let shape = shape(section)
        .with_context(|| format!("there is no section `{section}`; there are: {}", sections().join(", ")))?;
    Ok((section, key, shape))
}

async fn read(consul: &Consul) -> anyhow::Result<Overrides> {
    let entries = consul.entries(PREFIX).await?;
    Ok(Overrides::read(entries.iter().map(|entry| (entry.key.as_str(), entry.text.as_str(), entry.index))))
}
