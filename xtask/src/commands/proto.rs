use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::Progress;
use crate::{artel, contracts, install};

/// Lint the contracts (buf's STANDARD rules) and compare them with those on main
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask proto                        against where this left main, or what main had before\n  \
    cargo xtask proto --against v1.0.0       against any commit")]
pub struct Args {
    /// Compare with this commit, branch or tag
    #[arg(long, value_name = "COMMIT")]
    against: Option<String>,
}

pub fn run(args: &Args) -> Result<()> {
    let (root, buf) = (artel::root(), install::buf::ensure(&Progress::new())?);
    tell!("lint: buf's STANDARD rules");
    show(&mut contracts::lint(&buf, &root)).context("the contracts don't keep buf's STANDARD rules")?;
    tell!("    ok");
    tell!("compatibility: does everybody who relies on the contracts still work?");
    contracts::compare(&buf, &root, args.against.as_deref(), show)?;
    tell!("    ok");
    Ok(())
}

/// Runs buf, whose words go straight to the screen, from the project's folder: paths are short then.
fn show(command: &mut Command) -> Result<()> {
    if !command.current_dir(artel::root()).status().context("cannot run buf")?.success() {
        bail!("buf has found something");
    }
    Ok(())
}
