//! `cargo xtask demo`: a scripted day of a system that runs on Artel. It knows no more than a client does – REST through
//! Envoy, and the control side of the sandboxes – so that what it shows is what users get.

mod restaurant;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Started by `cargo xtask demo`, which brings up what it needs.
#[derive(Parser)]
#[command(name = "artel-demo", version, about)]
struct Cli {
    /// Where the running mesh wrote its addresses
    #[arg(long, global = true, env = "ARTEL_ENDPOINTS", default_value = ".artel/endpoints.json")]
    endpoints: PathBuf,
    /// The binary with the operator's commands
    #[arg(long, global = true, env = "ARTEL_BINARY", default_value = "target/debug/artel")]
    artel: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// An evening in the robot restaurant
    Restaurant(restaurant::Evening),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only where somebody was faster, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Command::Restaurant(evening) = cli.command;
    match evening.run(&cli.endpoints, cli.artel).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
