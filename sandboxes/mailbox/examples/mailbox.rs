//! A mailbox as a process of its own, for the tests that kill it: prints its two addresses, then serves.

use anyhow::Context;
use artel_mailbox::{Mailbox, MailboxArgs};
use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    mailbox: MailboxArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mailbox = Mailbox::bind(Cli::parse().mailbox.into()).await?;
    println!("{} {}", mailbox.smtp_address(), mailbox.http_address());
    mailbox.serve(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await.context("serving")
}
