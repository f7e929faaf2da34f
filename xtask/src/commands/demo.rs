use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use super::test::{heading, on_own_components, show};
use super::up::{self, Artel};
use crate::mesh::Shape;
use crate::progress::Progress;
use crate::state::State;
use crate::{artel, signals};

/// Show a system at work: a scripted day, with neighbours that fail
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask demo restaurant                   200 guests at once, a bank that fails, a printer that dies\n  \
    cargo xtask demo restaurant -- --guests 20 --printer-dead 5\n  \
    cargo xtask demo restaurant -- --help         all that can be chosen\n\n\
    It uses the mesh that `cargo xtask up` runs; where none runs, it starts one of its own and ends it.")]
pub struct Args {
    /// Which system
    #[arg(value_parser = PossibleValuesParser::new(["restaurant"]))]
    system: String,
    /// Build with optimizations
    #[arg(long)]
    release: bool,
    /// Keep the data and logs of a mesh of its own even when all goes well
    #[arg(long)]
    keep: bool,
    /// What the day is like
    #[arg(last = true, value_name = "OPTIONS")]
    options: Vec<String>,
}

pub fn run(state: Option<&State>, args: &Args) -> Result<()> {
    signals::listen()?;
    let asks_for_help = args.options.iter().any(|option| matches!(option.as_str(), "--help" | "-h"));
    let log = std::env::temp_dir().join(format!("artel-demo-build-{}.log", std::process::id()));
    let progress = Progress::new();
    let build = |name: &str| -> Result<_> {
        let step = progress.step("build", &format!("cargo build --bin {name}"));
        let built = artel::binary(&log, name, args.release, &step)?;
        step.done(&built.display().to_string());
        Ok(built)
    };
    let demo = build("artel-demo")?;
    if asks_for_help {
        std::fs::remove_file(log)?;
        return show(&mut command(&demo, args));
    }
    let artel = build("artel")?;
    std::fs::remove_file(log)?;
    if let Some(state) = state.filter(|state| state.owner().is_some()) {
        heading("the demo, in the mesh that runs");
        let endpoints = state.endpoints();
        return show(command(&demo, args).env("ARTEL_BINARY", artel).env("ARTEL_ENDPOINTS", endpoints));
    }
    heading("the demo: starting a mesh of its own");
    on_own_components("demo", args.keep, |session| {
        let context = &session.context;
        let mesh = up::start(context, &Shape::default(), Artel::At(artel))?;
        heading("the demo");
        let endpoints = context.state.endpoints();
        show(command(&demo, args).env("ARTEL_BINARY", &mesh.artel).env("ARTEL_ENDPOINTS", endpoints))
    })
}

fn command(demo: &Path, args: &Args) -> Command {
    let mut command = Command::new(demo);
    command.arg(&args.system).args(&args.options).current_dir(artel::root());
    command
}
