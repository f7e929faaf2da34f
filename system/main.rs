//! `artel`: every service of the mesh and the operator's commands in one binary. Which services a process runs is said
//! on its command line; nothing in a service knows which others are beside it.

mod audit;
mod config;
mod docs;
mod events;
mod import;
mod keys;
mod migrate;
mod operator;
mod replay;
mod restaurant;
mod role;
mod services;
mod webhooks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use artel_config::Config;
use artel_mailbox::MailboxArgs;
use artel_vendors::SandboxesArgs;
use clap::{Parser, Subcommand};

/// The system's own keeps what a burst of sign-ins used: 19 MiB a password hash, in holes that the next does not fit.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Artel: a business platform as a gRPC service mesh.
#[derive(Parser)]
#[command(
    name = "artel",
    version,
    about,
    after_help = "Examples:\n  artel serve all\n  artel serve order notify\n  artel import system/demo/catalog.yml\n  artel role grant anna@example.com catalog_editor"
)]
struct Cli {
    /// Configuration file; what it leaves out has the defaults that `artel config` shows
    #[arg(long, global = true, env = "ARTEL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the running mesh wrote its addresses, for the commands that talk to it
    #[arg(
        long,
        global = true,
        env = "ARTEL_ENDPOINTS",
        value_name = "FILE",
        default_value = ".artel/endpoints.json"
    )]
    endpoints: PathBuf,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run services until told to stop
    #[command(after_help = "Example: artel serve order notify")]
    Serve {
        /// Names of services, or `all`
        #[arg(required = true, value_parser = services::NAMES_OR_ALL)]
        services: Vec<String>,
        /// Threads that they share [default: 1 for a single service, one a core for several]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
        threads: Option<u16>,
    },
    /// Bring the database to this version, once, under a lock
    Migrate,
    /// Import a Yandex Market Language feed into the running mesh
    #[command(after_help = "Example: artel import system/demo/catalog.yml")]
    Import {
        /// The feed
        file: PathBuf,
    },
    /// Grant or revoke a person's roles in the running mesh
    #[command(subcommand, after_help = "Example: artel role grant anna@example.com catalog_editor")]
    Role(role::Action),
    /// The keys that sign access tokens
    #[command(subcommand, after_help = "Example: artel keys rotate")]
    Keys(keys::Action),
    /// Check the change log against its seals
    #[command(subcommand, after_help = "Example: artel audit verify")]
    Audit(audit::Action),
    /// Send past events to one service once more
    #[command(subcommand, after_help = "Example: artel replay run notify order.placed --since 7d --dry-run")]
    Replay(replay::Action),
    /// List what systems outside sent, and what became of it
    #[command(after_help = "Examples:\n  artel webhooks\n  artel webhooks --source bank --status rejected")]
    Webhooks(webhooks::Asked),
    /// Fill a restaurant's menu and kitchen, and check that all that must hold holds
    #[command(subcommand, after_help = "Example: artel restaurant check")]
    Restaurant(restaurant::Action),
    /// Show a service's configuration as it takes effect, secrets masked, or change it in the running mesh
    #[command(
        after_help = "Examples:\n  artel config catalog --origin\n  artel config set catalog.assumed_stock 50"
    )]
    Config(config::ConfigArgs),
    /// List every event: who tells it and who listens
    Events {
        /// As JSON, with messages, fields and descriptions
        #[arg(long)]
        json: bool,
    },
    /// Write docs/services, docs/openapi.json and docs/asyncapi.json from the contracts
    #[command(after_help = "Example: artel docs --check")]
    Docs {
        /// Write nothing; fail where a page says something else
        #[arg(long)]
        check: bool,
        /// Where the pages are
        #[arg(default_value = "docs")]
        folder: PathBuf,
    },
    /// Run the mailbox: an SMTP sandbox that keeps and shows every e-mail
    Mailbox(MailboxArgs),
    /// Run the sandboxes of the companies outside: bank, fiscal printer, SMS, push, robot line
    #[command(after_help = "Example: artel sandboxes --robot-speed 60")]
    Sandboxes(SandboxesArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match &cli.command {
        Command::Serve { services, threads } => {
            artel_handle::runtime(services::blueprints(services).len(), threads.map(usize::from))
        }
        _ => tokio::runtime::Runtime::new(),
    };
    match runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(cli))) {
        Ok(code) => code,
        // Not `Debug`, which adds a backtrace where the environment asks for one: this is for people.
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed twice"))?;
    let load = || Config::load(cli.config.as_deref()).context("the configuration is wrong");
    let done = match cli.command {
        Command::Serve { services, .. } => {
            artel_handle::serve(load()?, services::blueprints(&services)).await
        }
        Command::Migrate => migrate::run(&load()?).await,
        Command::Import { file } => import::run(&file, &cli.endpoints).await,
        Command::Role(action) => role::run(action, &cli.endpoints).await,
        Command::Keys(action) => keys::run(action, &cli.endpoints).await,
        Command::Audit(action) => return audit::run(action, &cli.endpoints).await,
        Command::Replay(action) => replay::run(action, &cli.endpoints).await,
        Command::Webhooks(asked) => webhooks::run(asked, &cli.endpoints).await,
        Command::Restaurant(action) => return restaurant::run(action, &cli.endpoints).await,
        Command::Config(args) => config::run(args, cli.config.as_deref(), &cli.endpoints).await,
        Command::Events { json } => events::run(json).await,
        Command::Docs { check, folder } => docs::run(&folder, check).await,
        Command::Mailbox(args) => {
            artel_handle::init_logs("console", "info")?;
            artel_mailbox::run(args.into(), artel_handle::told_to_stop()).await.map_err(Into::into)
        }
        Command::Sandboxes(args) => {
            artel_handle::init_logs("console", "info")?;
            artel_vendors::run(args, artel_handle::told_to_stop()).await.map_err(Into::into)
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
