use std::{io, net::SocketAddr, path::PathBuf};

/// Why a mailbox could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot listen for {what} on {address}: {source}; choose a free port")]
    Bind { what: &'static str, address: SocketAddr, source: io::Error },

    #[error("{action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("{} is in use by another mailbox; stop it or give this one its own folder", path.display())]
    InUse { path: PathBuf },

    /// A record before the last one does not match its checksum: something else wrote to the file.
    #[error(
        "{} is damaged at byte {offset}, with {rest} bytes after it; move it away to start with an empty mailbox",
        path.display()
    )]
    Damaged { path: PathBuf, offset: u64, rest: u64 },

    #[error("the mailbox's writer stopped; see the log for the disk's error")]
    WriterStopped,

    #[error("serving {what}: {source}")]
    Serve { what: &'static str, source: io::Error },
}
