//! `cargo xtask bench`: builds for release, starts what the figures need on free ports, and lets `artel-bench` measure.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

use super::test::{heading, on_own_components, show};
use crate::components::{self, envoy, postgres};
use crate::mesh::Addresses;
use crate::progress::Progress;
use crate::{artel, endpoints, signals};

/// Measure how fast it is, beside its yardsticks (docs/performance.md says what each figure means)
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask bench                     every figure: about half an hour on a quiet machine\n  \
    cargo xtask bench B3 B4               two of them\n  \
    cargo xtask bench B3 --quick          a first impression, in a minute\n  \
    cargo xtask bench B3 --rounds 15      where the machine is not quiet")]
pub struct Args {
    /// Which figures; all where none is named
    #[arg(value_parser = PossibleValuesParser::new(FIGURES.iter().map(|figure| figure.name)), ignore_case = true)]
    figures: Vec<String>,
    /// Say which figures there are, and measure nothing
    #[arg(long)]
    list: bool,
    /// Few and short rounds: a first impression
    #[arg(long)]
    quick: bool,
    /// Rounds that count [default: 5]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: Option<u16>,
    /// Seconds that a round takes [default: 4]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,
    /// Events in the outbox when persist is killed (B7) [default: 1000000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    rows: Option<u64>,
    /// Size of the feed that is imported (B11), in megabytes [default: 20]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    megabytes: Option<u64>,
    /// Keep the data and logs of the components even when all goes well
    #[arg(long)]
    keep: bool,
}

struct Figure {
    name: &'static str,
    what: &'static str,
    needs: Needs,
}

/// What a figure needs to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    Nothing,
    PostgreSql,
    /// Every component, and `artel` to be started by the figure itself.
    Components,
}

const FIGURES: &[Figure] = &[
    Figure { name: "B1", what: "a unary call through our stack, in instructions", needs: Needs::Nothing },
    Figure { name: "B2", what: "persist's reads", needs: Needs::PostgreSql },
    Figure { name: "B3", what: "an order placed in one Commit", needs: Needs::PostgreSql },
    Figure { name: "B4", what: "orders of one hot product, exactly N sold", needs: Needs::PostgreSql },
    Figure { name: "B5", what: "an order end to end through Envoy", needs: Needs::Components },
    Figure { name: "B6", what: "from a commit to a listener's committed effect", needs: Needs::Components },
    Figure { name: "B7", what: "the outbox drained; persist killed in between", needs: Needs::Components },
    Figure { name: "B8", what: "10,000 idle streams", needs: Needs::Nothing },
    Figure { name: "B9", what: "memory of idle services, cold start", needs: Needs::Components },
    Figure { name: "B10", what: "a second copy of a service", needs: Needs::Components },
    Figure { name: "B11", what: "a feed imported", needs: Needs::Components },
    Figure { name: "B12", what: "10,000 idle boards of the restaurant", needs: Needs::Components },
];

pub fn run(args: &Args) -> Result<()> {
    if args.list {
        for figure in FIGURES {
            say!("{:4} {}", figure.name, figure.what);
        }
        return Ok(());
    }
    signals::listen()?;
    let chosen: Vec<&Figure> = FIGURES
        .iter()
        .filter(|figure| {
            args.figures.is_empty() || args.figures.iter().any(|name| name.eq_ignore_ascii_case(figure.name))
        })
        .collect();
    let needs = chosen.iter().map(|figure| figure.needs).max().unwrap_or(Needs::Nothing);
    heading("the figures: building for release");
    if needs == Needs::Nothing {
        let folder = std::env::temp_dir();
        let log = folder.join(format!("artel-bench-build-{}.log", std::process::id()));
        let bench = build(&Progress::new(), &log, "artel-bench")?;
        std::fs::remove_file(log)?;
        heading("the figures: measuring");
        return show(&mut measure(&bench, &chosen, args));
    }
    on_own_components("bench", args.keep, |session| {
        let context = &session.context;
        let log = context.state.log("build");
        // Before the components: what compiles beside them would be measured, too.
        let bench = build(&context.progress, &log, "artel-bench")?;
        let artel =
            (needs == Needs::Components).then(|| build(&context.progress, &log, "artel")).transpose()?;
        heading("the figures: starting the components");
        match &artel {
            None => components::start_some(context, &[("PostgreSQL", postgres::start)], || Ok(()))?,
            Some(_) => components::start(context, || Ok(()))?,
        }
        artel::configure(context)?;
        let _keeper = endpoints::keep(context, &Addresses::new())?;
        let mut command = measure(&bench, &chosen, args);
        if let Some(artel) = &artel {
            artel::start_mailbox(context, artel)?;
            artel::start_sandboxes(context, artel)?;
            envoy::configure(context)?;
            command.env("ARTEL_BENCH_ARTEL", artel).env("ARTEL_BENCH_ENVOY", &context.tools.envoy);
            command.env("ARTEL_BENCH_SERVICES", artel::services().collect::<Vec<_>>().join(","));
        }
        heading("the figures: measuring");
        show(command.env("ARTEL_ENDPOINTS", context.state.endpoints()))
    })
}

fn build(progress: &Progress, log: &Path, name: &str) -> Result<PathBuf> {
    let step = progress.step("build", &format!("cargo build --release --bin {name}"));
    let built = artel::binary(log, name, true, &step)?;
    step.done(&built.display().to_string());
    Ok(built)
}

fn measure(bench: &Path, chosen: &[&Figure], args: &Args) -> Command {
    let target = bench.ancestors().nth(2).unwrap_or(Path::new("target"));
    let (rounds, seconds, rows, megabytes) =
        if args.quick { (3, 2, 100_000, 5) } else { (5, 4, 1_000_000, 20) };
    let mut command = Command::new(bench);
    command
        .arg("run")
        .args(chosen.iter().map(|figure| figure.name))
        .args(["--rounds", &args.rounds.unwrap_or(rounds).to_string()])
        .args(["--seconds", &args.seconds.unwrap_or(seconds).to_string()])
        .args(["--rows", &args.rows.unwrap_or(rows).to_string()])
        .args(["--megabytes", &args.megabytes.unwrap_or(megabytes).to_string()])
        .arg("--folder")
        .arg(target.join("bench"));
    command
}
