//! The door for senders: accepts connections and holds each conversation.

mod intake;
mod session;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{io::AsyncWriteExt, net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{clerk::Clerk, faults::FaultBox, options::Limits};

/// What every conversation shares.
pub struct Desk {
    pub clerk: Clerk,
    pub faults: FaultBox,
    pub limits: Limits,
    /// Answers 4xx and 5xx to MAIL, RCPT or a message, since the start or the last clearing.
    pub refused: AtomicU64,
}

impl Desk {
    fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Accepts until `stop`, then lets the open conversations end within the grace.
pub async fn serve(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(desk.limits.connections));
    let mut conversations = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = conversations.join_next() => continue,
        };
        let (mut stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a client that is gone already; neither ends the service.
                tracing::warn!(%error, "SMTP connection not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(%peer, limit = desk.limits.connections, "SMTP connection refused, too many open");
            conversations.spawn(async move {
                // A client that doesn't listen misses the reason only.
                let _ = stream.write_all(b"421 4.3.2 Too many connections; try again later\r\n").await;
            });
            continue;
        };
        let (desk, stop) = (desk.clone(), stop.clone());
        conversations.spawn(async move {
            if let Err(error) = session::converse(stream, &desk, &stop).await {
                tracing::debug!(%peer, %error, "SMTP connection lost");
            }
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while conversations.join_next().await.is_some() {} };
    if tokio::time::timeout(desk.limits.grace, ended).await.is_err() {
        tracing::warn!(open = conversations.len(), "SMTP conversations cut off");
        conversations.shutdown().await;
    }
}
