//! The copies of one service: which there are, how loaded each is, which to leave alone for a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use artel_discovery::{Instance, Instances};
use tonic::transport::{Channel, Endpoint};

use crate::budget::Budget;

/// Failures in a row after which a copy is left alone.
const FAILURES: u32 = 3;
/// For how long at first; doubled each time up to the longest.
const FIRST_BREAK: Duration = Duration::from_millis(500);
const LONGEST_BREAK: Duration = Duration::from_secs(20);
/// Weight of the newest latency in the average: one eighth.
const SMOOTHING: u64 = 8;

/// A copy of a service and what is known of it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    in_flight: AtomicU32,
    latency_micros: AtomicU64,
    failures: AtomicU32,
    breaks: AtomicU32,
    back_at: Mutex<Option<Instant>>,
}

/// The copies of one service.
#[derive(Debug)]
pub(crate) struct Pool {
    instances: Instances,
    peers: Mutex<HashMap<SocketAddr, Arc<Peer>>>,
    pub(crate) budget: Budget,
}

impl Pool {
    pub(crate) fn new(instances: Instances) -> Self {
        Self { instances, peers: Mutex::default(), budget: Budget::full() }
    }

    /// Waits until Consul has said for the first time who is there.
    pub(crate) async fn known(&self, most: Duration) {
        let mut instances = self.instances.clone();
        if instances.borrow().is_none() {
            let _ = tokio::time::timeout(most, instances.wait_for(Option::is_some)).await;
        }
    }

    /// The less loaded of two taken by chance, among those that are not left alone and were not tried yet.
    pub(crate) fn choose(&self, tried: &[SocketAddr]) -> Option<Arc<Peer>> {
        let peers: Vec<Arc<Peer>> =
            self.peers().into_iter().filter(|peer| !tried.contains(&peer.address)).collect();
        let well: Vec<&Arc<Peer>> = peers.iter().filter(|peer| peer.is_well()).collect();
        // Where all are left alone, any is better than none.
        let among = if well.is_empty() { peers.iter().collect() } else { well };
        match among.as_slice() {
            [] => None,
            [only] => Some(Arc::clone(only)),
            many => {
                let first = rand::random_range(0..many.len());
                let second = (first + rand::random_range(1..many.len())) % many.len();
                let (first, second) = (many[first], many[second]);
                Some(Arc::clone(if first.load() <= second.load() { first } else { second }))
            }
        }
    }

    /// The peers as Consul knows them now; those gone are dropped, and their connections once calls are done.
    fn peers(&self) -> Vec<Arc<Peer>> {
        let known = self.instances.borrow().clone();
        let instances: &[Instance] = known.as_deref().unwrap_or_default();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.retain(|address, _| instances.iter().any(|instance| instance.address == *address));
        instances
            .iter()
            .filter_map(|instance| {
                if let Some(peer) = peers.get(&instance.address) {
                    return Some(Arc::clone(peer));
                }
                let peer = Arc::new(Peer::connect(instance.address)?);
                peers.insert(instance.address, Arc::clone(&peer));
                Some(peer)
            })
            .collect()
    }
}

impl Peer {
    fn connect(address: SocketAddr) -> Option<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .ok()?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        Some(Self {
            address,
            channel: endpoint.connect_lazy(),
            in_flight: AtomicU32::new(0),
            latency_micros: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            breaks: AtomicU32::new(0),
            back_at: Mutex::new(None),
        })
    }

    /// Counts a call in; its end is told to what it gives back.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { peer: Arc::clone(self), since: Instant::now() }
    }

    /// Smoothed latency times the calls that wait: what a new call has before it.
    fn load(&self) -> u64 {
        let waiting = u64::from(self.in_flight.load(Ordering::Relaxed)) + 1;
        self.latency_micros.load(Ordering::Relaxed).max(1) * waiting
    }

    fn is_well(&self) -> bool {
        self.back_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none_or(|moment| moment <= Instant::now())
    }

    fn succeed(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let _ = self.latency_micros.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
            Some(if old == 0 { micros } else { old - old / SMOOTHING + micros / SMOOTHING })
        });
        self.failures.store(0, Ordering::Relaxed);
        self.breaks.store(0, Ordering::Relaxed);
    }

    fn fail(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < FAILURES {
            return;
        }
        self.failures.store(0, Ordering::Relaxed);
        let breaks = self.breaks.fetch_add(1, Ordering::Relaxed).min(6);
        let pause = (FIRST_BREAK * 2_u32.pow(breaks)).min(LONGEST_BREAK);
        *self.back_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + pause);
        tracing::warn!(address = %self.address, ?pause, "left alone after failures");
    }
}

/// A call on its way.
pub(crate) struct InFlight {
    peer: Arc<Peer>,
    since: Instant,
}

impl InFlight {
    /// The copy answered, whatever it answered.
    pub(crate) fn succeed(self) {
        self.peer.succeed(self.since.elapsed());
    }

    /// The copy could not be reached or was not able to answer.
    pub(crate) fn fail(self) {
        self.peer.fail();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.peer.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
