//! What every sandbox is made of: a ledger, faults, a control side, a server.

mod control;
mod failure;
mod faults;
mod layer;
mod ledger;
mod page;
mod running;
mod serve;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::Router;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{
    failure::Failure,
    layer::Told,
    ledger::{Ledger, Page},
};
pub use self::{
    faults::{Act, BadField, FaultBox, Faults},
    ledger::Entry,
    running::Running,
};
use crate::Error;

/// A company: what it remembers, made anew from what it did.
pub trait Vendor: Default + Send + 'static {
    /// Its name in addresses, files and logs.
    const NAME: &'static str;

    /// Something it did that cannot be taken back.
    type Effect: Serialize + DeserializeOwned + Clone + Send + Sync + 'static;

    /// Takes note of an effect.
    fn apply(&mut self, entry: &Entry<Self::Effect>);
}

/// Where a sandbox listens and keeps its ledger.
#[derive(Debug, Clone)]
pub struct At {
    /// Port 0 takes a free one.
    pub bind: SocketAddr,
    /// The folder of its ledger, made if it is missing; one in memory when there is none.
    pub data: Option<PathBuf>,
}

impl Default for At {
    fn default() -> Self {
        Self { bind: (Ipv4Addr::LOCALHOST, 0).into(), data: None }
    }
}

/// What the handlers of a sandbox share.
pub(crate) struct Desk<V: Vendor> {
    pub ledger: Ledger<V>,
    pub faults: FaultBox,
}

impl<V: Vendor> Desk<V> {
    pub fn open(at: &At) -> Result<Arc<Self>, Error> {
        let ledger = Ledger::open(at.data.as_deref())?;
        Ok(Arc::new(Self { ledger, faults: FaultBox::default() }))
    }
}

/// The vendor's own routes: those that change the world, which faults are counted for, and the others.
pub(crate) struct Routes {
    pub effects: Router,
    pub rest: Router,
}

/// Opens the port and serves until the handle is dropped.
pub(crate) async fn start<V: Vendor>(
    at: &At,
    desk: Arc<Desk<V>>,
    routes: Routes,
) -> Result<Running<V>, Error> {
    let vendor = V::NAME;
    let bind = |source| Error::Bind { vendor, address: at.bind, source };
    let listener = TcpListener::bind(at.bind).await.map_err(bind)?;
    let address = listener.local_addr().map_err(bind)?;
    let router = Router::new()
        .merge(layer::over(routes.effects, &desk, true))
        .merge(layer::over(routes.rest, &desk, false))
        .merge(control::routes(desk.clone()))
        .merge(page::routes::<V>());
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve::serve(vendor, listener, router, stop.clone()));
    tracing::info!(vendor, %address, "sandbox open");
    Ok(Running::new(address, desk, stop, served))
}
