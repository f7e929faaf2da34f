//! The copies of one service: which there are, how loaded each is, which to leave alone for a while.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use artel_discovery::Instances;

use crate::budget::Budget;
use crate::limits::Limits;
use crate::peer::Peer;

/// The copies of one service.
pub(crate) struct Pool {
    limits: Arc<Limits>,
    instances: Instances,
    peers: Mutex<Peers>,
    waiting: AtomicUsize,
    pub(crate) budget: Budget,
}

/// The copies as they were known last.
struct Peers {
    /// Marks what was seen.
    instances: Instances,
    /// Nothing before the first call.
    known: Option<Arc<[Arc<Peer>]>>,
}

impl Pool {
    pub(crate) fn new(instances: Instances, limits: Arc<Limits>) -> Self {
        let budget = Budget::full(&limits);
        let peers = Mutex::new(Peers { instances: instances.clone(), known: None });
        Self { limits, instances, peers, waiting: AtomicUsize::new(0), budget }
    }

    /// Waits until Consul has said for the first time who is there.
    pub(crate) async fn known(&self, most: Duration) {
        if self.instances.borrow().is_none() {
            let _ = tokio::time::timeout(most, self.instances.clone().wait_for(Option::is_some)).await;
        }
    }

    /// Counts a call in that is going to wait for an answer; `None` where too many do.
    pub(crate) fn wait(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, Ordering::Relaxed) < self.limits.waiting).then_some(waiting)
    }

    /// The less loaded of two taken by chance, among those that are not left alone and were not tried yet.
    pub(crate) fn choose(&self, tried: &[SocketAddr]) -> Option<Arc<Peer>> {
        let peers = self.peers();
        if let ([only], []) = (&*peers, tried) {
            return Some(Arc::clone(only));
        }
        let now = nanos();
        let untried: Vec<&Arc<Peer>> = peers.iter().filter(|peer| !tried.contains(&peer.address)).collect();
        let well: Vec<&Arc<Peer>> = untried.iter().copied().filter(|peer| peer.is_well(now)).collect();
        // Where all are left alone, any is better than none.
        match if well.is_empty() { untried } else { well }.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            many => {
                let first = rand::random_range(0..many.len());
                let second = (first + rand::random_range(1..many.len())) % many.len();
                let (first, second) = (many[first], many[second]);
                Some(Arc::clone(if first.load(now) <= second.load(now) { first } else { second }))
            }
        }
    }

    /// The copies as Consul knows them now; those gone are dropped, and their connections once calls are done.
    fn peers(&self) -> Arc<[Arc<Peer>]> {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nobody watches any more, what is known stays.
        let changed = peers.instances.has_changed().unwrap_or(false);
        if let Some(known) = peers.known.as_ref().filter(|_| !changed) {
            return Arc::clone(known);
        }
        let now = peers.instances.borrow_and_update().clone();
        let old = peers.known.take();
        let again = |address| old.iter().flat_map(|old| old.iter()).find(|peer| peer.address == address);
        let known: Arc<[Arc<Peer>]> = (now.iter().flat_map(|now| now.iter()))
            .filter_map(|instance| match again(instance.address) {
                Some(peer) => Some(Arc::clone(peer)),
                None => Peer::connect(instance.address, &self.limits).map(Arc::new),
            })
            .collect();
        peers.known = Some(Arc::clone(&known));
        known
    }
}

/// A call that waits for an answer.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Since the process made its first call.
pub(crate) fn nanos() -> u64 {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGUN.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
