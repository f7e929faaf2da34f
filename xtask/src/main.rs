//! `cargo xtask`: the developer's commands. Light on purpose: it builds and runs the services, but doesn't
//! depend on them.

#[macro_use]
mod say;

mod artel;
mod certificates;
mod commands;
mod components;
mod contracts;
mod endpoints;
mod environment;
mod files;
mod guard;
mod http;
mod install;
mod mesh;
#[cfg(test)]
mod observability;
mod ports;
mod process;
mod progress;
mod scaffold;
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
    bin_name = "cargo xtask",
    about = "Runs and tests the mesh on this machine",
    after_help = "Examples:\n  cargo xtask up                    the whole mesh, until Ctrl-C\n  \
                  cargo xtask test                  everything that must pass\n  \
                  cargo xtask logs order -f         what a service says"
)]
struct Cli {
    /// Where everything of this mesh is kept [default: .artel in the project]
    #[arg(long, global = true, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(commands::up::Args),
    Down(commands::down::Args),
    Status(commands::status::Args),
    Logs(commands::logs::Args),
    Test(commands::test::Args),
    Doctor(commands::doctor::Args),
    Components(commands::components::Args),
    Compose(commands::compose::Args),
    Proto(commands::proto::Args),
    New(commands::new::Args),
    Bench(commands::bench::Args),
    Demo(commands::demo::Args),
    Events(commands::events::Args),
    /// Waits for its owner's end and cleans up after it (started by `up` itself)
    #[command(hide = true)]
    Guard,
}

fn main() {
    let cli = Cli::parse();
    if let Err(error) = run(cli) {
        if signals::asked() {
            tell!("\ninterrupted");
            std::process::exit(130);
        }
        let reader_left = |io: &std::io::Error| io.kind() == std::io::ErrorKind::BrokenPipe;
        if error.downcast_ref().is_some_and(reader_left) {
            return;
        }
        tell!("\nerror: {error:#}");
        std::process::exit(1);
    }
}

fn run(cli: Cli) -> Result<()> {
    let folder = cli.state.unwrap_or_else(|| artel::root().join(".artel"));
    match cli.command {
        Command::Up(args) => commands::up::run(&State::open(&folder)?, &args),
        Command::Status(args) => commands::status::run(&State::existing(&folder)?, &args),
        Command::Logs(args) => commands::logs::run(&State::existing(&folder)?, &args),
        Command::Doctor(args) => commands::doctor::run(&folder, &args),
        Command::Test(args) => commands::test::run(&args),
        Command::Components(args) => commands::components::run(&State::open(&folder)?, &args),
        Command::Events(args) => commands::events::run(&State::open(&folder)?, &args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Demo(args) => commands::demo::run(State::existing(&folder).ok().as_ref(), &args),
        Command::New(args) => commands::new::run(&args),
        Command::Proto(args) => commands::proto::run(&args),
        Command::Compose(args) => commands::compose::run(&State::open(&folder)?, &args),
        Command::Down(args) => commands::down::run(&State::existing(&folder)?, &args),
        Command::Guard => guard::run(&State::existing(&folder)?),
    }
}
