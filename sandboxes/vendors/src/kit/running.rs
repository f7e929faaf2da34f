use std::{net::SocketAddr, sync::Arc};

use tokio::task::JoinHandle;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::AbortOnDropHandle,
};

use super::{Desk, Entry, FaultBox, Vendor};

/// A sandbox that serves; dropping it stops it.
pub struct Running<V: Vendor> {
    address: SocketAddr,
    desk: Arc<Desk<V>>,
    _stop: DropGuard,
    served: JoinHandle<()>,
    work: Vec<AbortOnDropHandle<()>>,
}

impl<V: Vendor> Running<V> {
    pub(crate) fn new(
        address: SocketAddr,
        desk: Arc<Desk<V>>,
        stop: CancellationToken,
        served: JoinHandle<()>,
    ) -> Self {
        Self { address, desk, _stop: stop.drop_guard(), served, work: Vec::new() }
    }

    /// Has something else done as long as it serves.
    pub(crate) fn with(mut self, work: impl Future<Output = ()> + Send + 'static) -> Self {
        self.work.push(AbortOnDropHandle::new(tokio::spawn(work)));
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as an address to call, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All effects so far, in order.
    pub fn ledger(&self) -> Vec<Entry<V::Effect>> {
        self.desk.ledger.page().after(0).to_vec()
    }

    /// What it does wrong.
    pub fn faults(&self) -> &FaultBox {
        &self.desk.faults
    }

    /// Stops it: its port refuses connections when this returns, and its ledger can be opened again.
    pub async fn stop(self) {
        let Self { desk, _stop, served, work, .. } = self;
        drop(_stop);
        for work in work {
            work.abort();
            let _ = work.await;
        }
        // Only a panic ends it otherwise, and that was printed.
        let _ = served.await;
        drop(desk);
    }
}
