use std::{future::Future, net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Error, Options, clerk::Clerk, faults::FaultBox, http, smtp};

/// A mailbox whose ledger is read and whose ports are open; connections wait until [`Mailbox::serve`].
pub struct Mailbox {
    desk: Arc<smtp::Desk>,
    smtp: TcpListener,
    http: TcpListener,
    addresses: (SocketAddr, SocketAddr),
}

impl Mailbox {
    /// Opens the ledger, then both ports.
    pub async fn bind(options: Options) -> Result<Self, Error> {
        let Options { smtp, http, data, limits } = options;
        let clerk = tokio::task::spawn_blocking(move || Clerk::start(&data))
            .await
            .map_err(|_| Error::WriterStopped)??;
        let (smtp, smtp_address) = listen("SMTP", smtp).await?;
        let (http, http_address) = listen("HTTP", http).await?;
        let desk = smtp::Desk { clerk, faults: FaultBox::default(), limits, refused: 0.into() };
        Ok(Self { desk: Arc::new(desk), smtp, http, addresses: (smtp_address, http_address) })
    }

    /// Where SMTP is accepted.
    pub fn smtp_address(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where the page and the API are served.
    pub fn http_address(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Serves until `shutdown` ends; then messages that are being sent are still taken, within the grace.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { desk, smtp, http, addresses } = self;
        tracing::info!(smtp = %addresses.0, http = %addresses.1, "mailbox open");
        let stop = CancellationToken::new();
        // Dropping this future stops both servers as well.
        let _stop_on_drop = stop.clone().drop_guard();
        let grace = desk.limits.grace;
        let letters = tokio::spawn(smtp::serve(smtp, desk.clone(), stop.clone()));
        let mut pages = tokio::spawn(http::serve(http, desk.clone(), stop.clone()));

        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            () = desk.clerk.stopped() => Err(Error::WriterStopped),
            ended = &mut pages => match ended {
                Ok(Err(source)) => Err(Error::Serve { what: "HTTP", source }),
                _ => Ok(()),
            },
        };
        stop.cancel();
        // Only a panic ends a server early, and it was logged where it happened.
        let _ = letters.await;
        if !pages.is_finished() && tokio::time::timeout(grace, &mut pages).await.is_err() {
            pages.abort();
            let _ = pages.await;
        }
        // Everything answered 250 is on the disk; this gives the folder free for the next mailbox.
        if desk.clerk.is_alive() && desk.clerk.close().await.is_err() {
            return Err(Error::WriterStopped);
        }
        tracing::info!("mailbox closed");
        outcome
    }
}

/// Binds and serves until `shutdown` ends.
pub async fn run(options: Options, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    Mailbox::bind(options).await?.serve(shutdown).await
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let bind = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind.await.map_err(|source| Error::Bind { what, address, source })
}
