//! All sandboxes in one process.

use std::{net::SocketAddr, path::PathBuf};

use crate::{At, Error, bank, printer, push, robots, sms};

/// The command line of `artel sandboxes`.
#[derive(Debug, Clone, clap::Args)]
pub struct SandboxesArgs {
    /// Address of the bank: Halyk Epay's API and a plain one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8101")]
    pub bank: SocketAddr,

    /// Address of the fiscal printer: ATOL Online's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8102")]
    pub printer: SocketAddr,

    /// Address of the provider of SMS: SMSC's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8103")]
    pub sms: SocketAddr,

    /// Address of the push service: FCM's API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8104")]
    pub push: SocketAddr,

    /// Address of the line of robots
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8105")]
    pub robots: SocketAddr,

    /// Folder that keeps the ledgers
    #[arg(long, value_name = "FOLDER", default_value = ".artel/sandboxes")]
    pub data: PathBuf,

    /// How many times faster than real ones the robots are, 0.01 to 100000
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, value_parser = speed)]
    pub robot_speed: f64,

    /// How many jobs the robots cook at once
    #[arg(long, value_name = "COUNT", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub robot_stations: u16,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(times) if (0.01..=100_000.0).contains(&times) => Ok(times),
        _ => Err("it must be a number from 0.01 to 100000".to_owned()),
    }
}

/// Serves all of them until `shutdown` ends.
///
/// # Errors
/// A port is taken, or a ledger cannot be read.
pub async fn run(args: SandboxesArgs, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let at = |bind| At { bind, data: Some(args.data.clone()) };
    let bank = bank::start(bank::Options { at: at(args.bank), ..Default::default() }).await?;
    let printer = printer::start(printer::Options { at: at(args.printer), ..Default::default() }).await?;
    let sms = sms::start(sms::Options { at: at(args.sms), ..Default::default() }).await?;
    let push = push::start(push::Options { at: at(args.push), ..Default::default() }).await?;
    let line = robots::Options {
        at: at(args.robots),
        stations: args.robot_stations.into(),
        speed: args.robot_speed,
    };
    let robots = robots::start(line).await?;
    shutdown.await;
    tokio::join!(bank.stop(), printer.stop(), sms.stop(), push.stop(), robots.stop());
    tracing::info!("sandboxes closed");
    Ok(())
}
