use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// What a mailbox needs to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where SMTP is accepted; port 0 takes a free one.
    pub smtp: SocketAddr,
    /// Where the page and the API are served; port 0 takes a free one.
    pub http: SocketAddr,
    /// The folder of the ledger, made if it is missing. One mailbox uses it at a time.
    pub data: PathBuf,
    pub limits: Limits,
}

/// The bounds within which a client is served.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest message, in bytes; a longer one is answered 552.
    pub message_bytes: usize,
    /// Recipients of one message; more are answered 452.
    pub recipients: usize,
    /// Conversations at one moment; more are answered 421.
    pub connections: usize,
    /// How long a silent client is kept (RFC 5321 asks for five minutes).
    pub idle: Duration,
    /// How long open conversations may go on after the mailbox was asked to stop.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 10 * 1024 * 1024,
            recipients: 100,
            connections: 256,
            idle: Duration::from_secs(300),
            grace: Duration::from_secs(5),
        }
    }
}

/// The command line of `artel mailbox`.
#[derive(Debug, Clone, clap::Args)]
pub struct MailboxArgs {
    /// Address to accept SMTP on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1025")]
    pub smtp: SocketAddr,

    /// Address of the page and the JSON API
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8025")]
    pub http: SocketAddr,

    /// Folder that keeps the messages
    #[arg(long, value_name = "FOLDER", default_value = ".artel/mailbox")]
    pub data: PathBuf,
}

impl From<MailboxArgs> for Options {
    fn from(args: MailboxArgs) -> Self {
        Self { smtp: args.smtp, http: args.http, data: args.data, limits: Limits::default() }
    }
}
