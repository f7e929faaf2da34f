use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::install::{self, on_path};
use crate::state::State;
use crate::{ports, process};

/// Look at this machine: what is installed, which ports are free, and what to do about the rest
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask doctor\n  cargo xtask doctor && cargo xtask up")]
pub struct Args {}

/// A build and a filled mesh take about this much.
const DISK_GB: u64 = 8;
const MEMORY_MB: u64 = 2_000;

pub fn run(folder: &Path, _: &Args) -> Result<()> {
    let mut hints = Vec::new();
    say!("programs");
    for found in install::look() {
        match &found.path {
            Some(path) => {
                say!("  ok {:<11} {:<22} {}", found.name, version(found.name, path), path.display())
            }
            None => {
                say!("  -- {:<11} missing", found.name);
                hints.push(format!("{}: `cargo xtask up` installs it: {}", found.name, found.source));
            }
        }
    }
    optional();
    machine(folder, &mut hints);
    say!("ports");
    let state = State::existing(folder).ok();
    let owner = state.as_ref().and_then(State::owner);
    let ours: Vec<u16> = match (&state, owner) {
        (Some(state), Some(_)) => ports::Ports::remembered(state).into_values().collect(),
        _ => Vec::new(),
    };
    let taken = ports::standard_taken();
    for (name, port) in &taken {
        let by =
            if ours.contains(port) { "this mesh" } else { "somebody else: a free port is taken instead" };
        say!("  {} {port:<6} {name:<22} used by {by}", if ours.contains(port) { "ok" } else { "--" });
    }
    if taken.is_empty() {
        say!("  ok all the standard ones are free");
    }
    say!("state");
    match (&state, owner) {
        (None, _) => say!("  -- {} is not there yet", folder.display()),
        (Some(state), Some(pid)) => say!("  ok {} is run by process {pid}", state.root().display()),
        (Some(state), None) => {
            say!("  ok {} is at rest", state.root().display());
            if process::records(state).values().any(process::Record::alive) {
                hints.push("processes of a killed run are left: `cargo xtask down` ends them".into());
            }
        }
    }
    if hints.is_empty() {
        say!("\nnothing stands in the way of `cargo xtask up`");
    } else {
        say!("\nwhat to do:");
        hints.iter().for_each(|hint| say!("  * {hint}"));
    }
    if hints.iter().any(|hint| hint.starts_with('!')) {
        bail!("this machine can't run the mesh as it is");
    }
    Ok(())
}

fn version(name: &str, path: &Path) -> String {
    let (program, args): (_, &[&str]) = match name {
        "PostgreSQL" => (path.join("postgres"), &["--version"]),
        "RabbitMQ" => return package("rabbitmq-server"),
        "epmd" => return package("erlang-base"),
        "Consul" => (path.to_owned(), &["version"]),
        _ => (path.to_owned(), &["--version"]),
    };
    let text = install::output(&program, args).unwrap_or_default();
    let wanted = |word: &&str| word.contains('.') && word.chars().all(|it| it == '.' || it.is_ascii_digit());
    text.split([' ', '\n', '=', '/', 'v', '-']).find(wanted).unwrap_or("?").to_owned()
}

fn package(name: &str) -> String {
    install::run(Command::new("dpkg-query").args(["-W", "-f=${Version}", name]))
        .unwrap_or_else(|_| "?".into())
}

fn optional() {
    for (program, why) in [
        ("cargo-nextest", "`cargo xtask test` is faster with it: `cargo install --locked cargo-nextest`"),
        ("grpcurl", "handy for trying the API out"),
    ] {
        match on_path(program) {
            Some(path) => say!("  ok {program:<11} {:<22} {}", "", path.display()),
            None => say!("  .. {program:<11} optional: {why}"),
        }
    }
}

fn machine(folder: &Path, hints: &mut Vec<String>) {
    say!("machine");
    let place = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let free = install::run(Command::new("df").args(["--output=avail", "-B1M"]).arg(place))
        .ok()
        .and_then(|text| text.lines().last()?.trim().parse::<u64>().ok())
        .unwrap_or_default();
    say!("  {} disk        {} GB free", mark(free / 1024 >= DISK_GB), free / 1024);
    if free / 1024 < DISK_GB {
        hints.push(format!("free some disk: a build and a mesh take about {DISK_GB} GB"));
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or_default()
        / 1024;
    say!("  {} memory      {available} MB available", mark(available >= MEMORY_MB));
    if available < MEMORY_MB {
        hints.push(format!("close something: the mesh and a build want {MEMORY_MB} MB of memory"));
    }
    if std::env::consts::OS != "linux" {
        hints.push("! the mesh runs on Linux only".into());
    }
}

fn mark(good: bool) -> &'static str {
    if good { "ok" } else { "--" }
}
