//! `cargo xtask bench`: measures ours beside its yardsticks, in turn, on one machine. docs/performance.md says what each
//! figure means. This program makes the load; what it measures runs in other processes.

mod b1;
mod b10;
mod b11;
mod b12;
mod b2;
mod b3;
mod b4;
mod b5;
mod b6;
mod b7;
mod b8;
mod b9;
mod broker;
mod compare;
mod cpu;
mod figures;
mod load;
mod memory;
mod mesh;
mod place_order;
mod places;
mod process;
mod report;
mod rounds;
mod store;
mod yardstick;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use serde_json::json;

use crate::figures::{FIGURES, Setting, measure};
use crate::report::Report;
use crate::rounds::Plan;

/// As the services have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Started by `cargo xtask bench`, which brings up what it needs.
#[derive(Parser)]
#[command(name = "artel-bench", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure figures
    Run(Run),
    /// What a figure starts beside itself
    #[command(subcommand, hide = true)]
    Role(Role),
}

#[derive(Args)]
struct Run {
    /// Which; all where none is named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(FIGURES.iter().map(|(name, _)| *name)))]
    figures: Vec<String>,
    /// Rounds that count; one more is run before them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Seconds that a round takes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Events in the outbox when persist is killed (B7); rounds take a tenth
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    rows: u64,
    /// Size of the feed that is imported (B11), in megabytes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    megabytes: u64,
    /// Where the raw rounds are written
    #[arg(long, value_name = "DIR", default_value = "target/bench")]
    folder: PathBuf,
}

#[derive(Subcommand)]
enum Role {
    /// Call a method many times within this process, and end
    Unary {
        stack: b1::Stack,
        #[arg(long)]
        calls: u32,
        #[arg(long)]
        in_flight: u32,
    },
    /// Serve the bare echo
    Echo {
        #[arg(long)]
        port: u16,
    },
    /// Serve persist without its relay
    Persist,
    /// Listen to orders, and write down when what is done about each is committed
    Probe,
    /// Serve streams that are told something with SIGUSR1
    Streams,
    /// Serve a method that waits
    Waiter,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The load and the echo have one thread each, and a service what `artel` gives it, which is one, too.
    let runtime = artel_handle::runtime(1, None);
    let ended = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(cli.command)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed twice"))?;
    match command {
        Command::Run(run) => figures(run).await,
        Command::Role(Role::Unary { stack, calls, in_flight }) => b1::unary(stack, calls, in_flight).await,
        Command::Role(Role::Echo { port }) => {
            yardstick::echo::serve(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
        }
        Command::Role(Role::Persist) => store::serve().await,
        Command::Role(Role::Probe) => b6::serve().await,
        Command::Role(Role::Streams) => b8::serve().await,
        Command::Role(Role::Waiter) => b10::serve().await,
    }
}

async fn figures(run: Run) -> Result<()> {
    let plan = Plan { rounds: run.rounds.into(), time: Duration::from_secs(run.seconds) };
    let options =
        json!({ "rounds": run.rounds, "seconds": run.seconds, "rows": run.rows, "megabytes": run.megabytes });
    let mut report = Report::new(&run.folder, options)?;
    let setting = Setting { plan, rows: run.rows, megabytes: run.megabytes, folder: run.folder };
    for (name, what) in FIGURES {
        if !run.figures.is_empty() && !run.figures.iter().any(|asked| asked == name) {
            continue;
        }
        println!("\n{name}: {what}");
        let begin = Instant::now();
        let outcome = measure(name, &setting).await;
        match &outcome {
            Ok(_) => println!("  {name}  done in {:.0} s", begin.elapsed().as_secs_f64()),
            Err(error) => println!("  {name}  FAILED: {error:#}"),
        }
        report.add(name, outcome)?;
    }
    println!("\n{}", report.table());
    println!("Raw rounds: {}", report.file().display());
    let (missed, failed) = report.missed();
    anyhow::ensure!(failed == 0, "{failed} of the figures could not be measured: see above");
    if missed > 0 {
        println!(
            "{missed} targets are missed. Run them again on a quiet machine, with more --rounds; then look where the \
             time goes: docs/performance.md says how."
        );
    } else {
        println!("Every target is met. Note the table in docs/performance.md where it changed.");
    }
    Ok(())
}
