use std::{io, net::SocketAddr, path::PathBuf};

/// Why a sandbox could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("the sandbox `{vendor}` cannot listen on {address}: {source}; choose a free port")]
    Bind { vendor: &'static str, address: SocketAddr, source: io::Error },

    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },

    #[error("{} is in use by another sandbox; stop it or give this one its own folder", path.display())]
    InUse { path: PathBuf },

    #[error("{} is damaged in line {line}: {source}; move it away to start with an empty ledger", path.display())]
    Damaged { path: PathBuf, line: usize, source: serde_json::Error },
}
