//! `cargo xtask`: the developer's commands. Light on purpose: it builds and runs the services, but doesn't
//! depend on them.

mod commands;
mod components;
mod environment;
mod files;
mod guard;
mod http;
mod install;
mod ports;
mod process;
mod progress;
mod secrets;
mod session;
mod signals;
mod state;
mod supervise;
mod wait;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::state::State;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Runs and tests the mesh on this machine",
    after_help = "Examples:\n  cargo xtask up                    the whole mesh, until Ctrl-C\n  \
                  cargo xtask test                  everything that must pass\n  \
                  cargo xtask logs order -f         what a service says"
)]
struct Cli {
    /// Where everything of this mesh is kept
    #[arg(long, global = true, default_value = ".artel", value_name = "DIR")]
    state: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Components(commands::components::Args),
    Down(commands::down::Args),
    /// Waits for its owner's end and cleans up after it (started by `up` itself)
    #[command(hide = true)]
    Guard,
}

fn main() {
    let cli = Cli::parse();
    if let Err(error) = run(cli) {
        eprintln!("\nerror: {error:#}");
        std::process::exit(if signals::asked() { 130 } else { 1 });
    }
}

fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Components(args) => commands::components::run(&State::open(&cli.state)?, &args),
        Command::Down(args) => commands::down::run(&State::existing(&cli.state)?, &args),
        Command::Guard => guard::run(&State::existing(&cli.state)?),
    }
}
