//! `cargo xtask test`: everything that must pass, cheapest first; it stops at the first thing that doesn't.

mod compose;
mod contracts;
mod lint;
mod mesh;
mod new;
mod unit;

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::Signal;

use crate::install::on_path;
use crate::ports::Prefer;
use crate::progress::seconds;
use crate::session::Session;
use crate::state::State;
use crate::{artel, process, signals};

/// Check everything: formatting, clippy, contracts, unit tests, and the whole mesh on real components
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask test                          everything; what CI runs\n  \
    cargo xtask test --only unit              one part\n  \
    cargo xtask test --only mesh -- order     mesh tests whose name has `order`\n  \
    cargo xtask test --only mesh --keep       leave its data and logs for a look")]
pub struct Args {
    /// Run these parts only
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Keep the data and logs of the components even when all passes
    #[arg(long)]
    keep: bool,
    /// Only tests whose name has one of these in it (unit and mesh)
    #[arg(last = true)]
    filter: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, and clippy with warnings denied
    Lint,
    /// The proto contracts, and compose.yaml
    Contracts,
    /// Each crate's own tests, against real components
    Unit,
    /// A new service, made in a copy of the project
    New,
    /// The tests of the whole mesh, through Envoy
    Mesh,
}

type Run = fn(&Args) -> Result<()>;

pub fn run(args: &Args) -> Result<()> {
    signals::listen()?;
    let begin = Instant::now();
    let parts: [(Part, Run); 5] = [
        (Part::Lint, |_| lint::run()),
        (Part::Contracts, |_| contracts::run()),
        (Part::Unit, unit::run),
        (Part::New, new::run),
        (Part::Mesh, mesh::run),
    ];
    let mut passed = Vec::new();
    for (part, run) in parts {
        if !args.only.is_empty() && !args.only.contains(&part) {
            continue;
        }
        let begin = Instant::now();
        let name = format!("{part:?}").to_lowercase();
        let result = run(args);
        signals::check()?;
        result.with_context(|| format!("`cargo xtask test --only {name}` failed"))?;
        passed.push(format!("{name} {}", seconds(begin.elapsed())));
    }
    say!("\nall passed in {}: {}", seconds(begin.elapsed()), passed.join(", "));
    Ok(())
}

/// A line that is easy to find in a long log.
pub fn heading(text: &str) {
    tell!("\n=== {text}");
}

/// Runs a command that shows what it does itself; ends it when we are told to end.
pub fn show(command: &mut Command) -> Result<()> {
    let begin = Instant::now();
    let shown = shown(command);
    tell!("    $ {shown}");
    let mut child =
        command.current_dir(artel::root()).spawn().with_context(|| format!("cannot run {shown}"))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if signals::asked() {
            end(&mut child);
            bail!("interrupted");
        }
        std::thread::sleep(Duration::from_millis(30));
    };
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    tell!("    ok ({})", seconds(begin.elapsed()));
    Ok(())
}

fn end(child: &mut Child) {
    process::signal(child.id().cast_signed(), Signal::TERM);
    let end = Instant::now() + Duration::from_secs(10);
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(30));
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// The names asked for, and, for cargo's own runner, one test at a time: tests of a mesh share it.
fn filters(args: &Args) -> Vec<String> {
    if on_path("cargo-nextest").is_some() {
        return args.filter.clone();
    }
    ["--", "--test-threads=1"].into_iter().map(str::to_owned).chain(args.filter.clone()).collect()
}

/// Runs `test` on components of its own, on free ports, in a folder of its own, which is kept if it fails.
pub fn on_own_components(
    name: &str,
    keep: bool,
    test: impl FnOnce(&mut Session) -> Result<()>,
) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("artel-{name}-{}", std::process::id()));
    let state = State::open(&folder)?;
    let result = Session::begin(&state, Prefer::Free, None).and_then(|mut session| test(&mut session));
    if result.is_ok() && !keep {
        std::fs::remove_dir_all(state.root())?;
    } else {
        tell!("    logs are kept in {}", state.logs().display());
    }
    result
}
