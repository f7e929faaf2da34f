//! Several copies relay at once: each event goes out once, in order for its key, whoever comes and goes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use artel_handle::CancellationToken;
use artel_persist::Broker;
use artel_persist::testing::{TestDatabase, relaying, relaying_until};
use artel_queue::{Event, Outcome, Unfinished};
use futures::future::try_join_all;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::broker::Memory;
use crate::support::*;

const KEYS: usize = 24;

/// What one copy publishes, into a ledger that all share. Confirms wait for the gate.
#[derive(Clone)]
struct Copy {
    ledger: Memory,
    published: Arc<AtomicUsize>,
    gate: watch::Receiver<bool>,
}

impl Copy {
    fn of(ledger: &Memory) -> Self {
        let (open, gate) = watch::channel(true);
        // Nobody closes it.
        std::mem::forget(open);
        Self { ledger: ledger.clone(), published: Arc::default(), gate }
    }

    fn count(&self) -> usize {
        self.published.load(Ordering::Relaxed)
    }
}

impl Broker for Copy {
    async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        // As long as a broker may take, so that copies meet each other in the middle of a batch.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let outcomes = self.ledger.publish(batch).await;
        self.published.fetch_add(batch.len(), Ordering::Relaxed);
        let _ = self.gate.clone().wait_for(|open| *open).await;
        outcomes
    }

    async fn resend(&self, service: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        self.ledger.resend(service, batch).await
    }
}

/// A load: events of many keys, each key's one after the other.
struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(String, Vec<String>)>>,
}

impl Load {
    /// Half of the keys through each client.
    fn begin(clients: &[Client]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..KEYS).map(|number| {
            let (client, stop) = (clients[number % clients.len()].clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let (key, mut ids) = (format!("key {number}"), Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    ids.extend(client.send(placed(&key)).await.unwrap().event_ids);
                }
                (key, ids)
            })
        });
        let tasks = tasks.collect();
        Self { stop, tasks }
    }

    /// The ids of each key's events, as they were committed.
    async fn end(self) -> BTreeMap<String, Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        try_join_all(self.tasks).await.unwrap().into_iter().collect()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain for: {what}");
}

/// How often each event was published, and each key's events in the order in which they first were.
fn published(ledger: &Memory) -> (HashMap<String, usize>, BTreeMap<String, Vec<String>>) {
    let (mut counts, mut order) = (HashMap::new(), BTreeMap::<String, Vec<String>>::new());
    for event in &ledger.0.lock().unwrap().events {
        let count: &mut usize = counts.entry(event.id.clone()).or_default();
        *count += 1;
        if *count == 1 {
            order.entry(event.key.clone()).or_default().push(event.id.clone());
        }
    }
    (counts, order)
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_come_and_leave_publish_each_event_once_and_in_order() {
    let database = TestDatabase::create().await.unwrap();
    let (settings, ledger) = (database.settings().unwrap(), Memory::default());
    let copies = [Copy::of(&ledger), Copy::of(&ledger), Copy::of(&ledger)];
    let stop = CancellationToken::new();
    let (service, first) = relaying_until(stop.clone(), &settings, copies[0].clone()).await.unwrap();
    let other = database.persist().await.unwrap();
    let load = Load::begin(&[client(&service, WORKSPACE), client(&other, OTHER)]);
    until("the first copy to publish", || copies[0].count() > 200).await;
    let mut running = Vec::new();
    for copy in &copies[1..] {
        running.push(relaying(&settings, copy.clone()).await.unwrap());
        until("a copy that came to get its share", || copy.count() > 200).await;
    }
    let before = copies.each_ref().map(Copy::count);
    until("all three to publish", || {
        copies.iter().zip(before).all(|(copy, before)| copy.count() > before + 100)
    })
    .await;
    // One leaves in good order; the others do its work.
    stop.cancel();
    first.await.unwrap();
    let (left, before) = (copies[0].count(), ledger.ids().len());
    until("the others to go on", || ledger.ids().len() > before + 500).await;
    let told = load.end().await;
    ledger.wait_for(&told.values().flatten().cloned().collect::<Vec<_>>()).await;
    assert_eq!(copies[0].count(), left, "the copy that left went on");
    let (counts, order) = published(&ledger);
    let twice = counts.values().filter(|count| **count > 1).count();
    assert_eq!(twice, 0, "of {} events so many were published more than once", counts.len());
    assert_eq!(order, told);
}

/// A copy that dies with a batch in hand: nothing is lost, what it published without noting it is published again, and
/// nothing else is. That such a repetition shows here is what proves the test above.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_dies_is_taken_over_and_loses_nothing() {
    let database = TestDatabase::create().await.unwrap();
    let (settings, ledger) = (database.settings().unwrap(), Memory::default());
    let (open, gate) = watch::channel(true);
    let dying = Copy { gate, ..Copy::of(&ledger) };
    let staying = Copy::of(&ledger);
    let (_service, first) = relaying(&settings, dying.clone()).await.unwrap();
    let (service, _second) = relaying(&settings, staying.clone()).await.unwrap();
    let load = Load::begin(&[client(&service, WORKSPACE)]);
    until("both to publish", || dying.count() > 200 && staying.count() > 200).await;
    // It has a batch published that it will never note.
    open.send_replace(false);
    let before = dying.count();
    until("a batch in hand", || dying.count() > before).await;
    first.abort();
    let _ = first.await;
    let before = ledger.ids().len();
    until("the other to go on", || ledger.ids().len() > before + 500).await;
    let told = load.end().await;
    ledger.wait_for(&told.values().flatten().cloned().collect::<Vec<_>>()).await;
    let (counts, order) = published(&ledger);
    let twice = counts.values().filter(|count| **count > 1).count();
    assert!(twice > 0, "a lost cursor does not show: this count proves nothing");
    assert!(twice <= 500, "{twice} events were published twice, more than a batch");
    assert_eq!(order, told);
}

/// A copy whose process hangs keeps its connection: PostgreSQL ends it when it is silent for too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_hangs_is_taken_over() {
    let database = TestDatabase::create().await.unwrap();
    let (settings, ledger) = (database.settings().unwrap(), Memory::default());
    let (hang, hanging) = std::sync::mpsc::channel::<()>();
    let copy = Copy::of(&ledger);
    let (hung, hangs) = (copy.clone(), settings.clone());
    // A runtime of its own, which does nothing any more from a certain moment on.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_service, _relay) = relaying(&hangs, hung.clone()).await.unwrap();
            until("it to publish", || hung.count() > 0).await;
            hanging.recv().unwrap_err();
        });
    });
    let service = database.persist().await.unwrap();
    let client = client(&service, WORKSPACE);
    let first = client.send(placed("k")).await.unwrap().event_ids;
    ledger.wait_for(&first).await;
    // It holds every shard, and does not let go when another comes.
    let other = Copy::of(&ledger);
    let (_service, _relay) = relaying(&settings, other.clone()).await.unwrap();
    let ids = client.send(placed("k")).await.unwrap().event_ids;
    ledger.wait_for(&ids).await;
    assert_eq!((copy.count(), other.count() > 0), (1, true));
    drop(hang);
    thread.join().unwrap();
}

/// Events of one copy that are another's to relay are told of, not found by looking. The looking is switched off.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_hears_at_once_what_another_committed() {
    let database = TestDatabase::create().await.unwrap();
    let (mut settings, ledger) = (database.settings().unwrap(), Memory::default());
    settings.set_relay_poll(Duration::from_secs(3_600));
    let (near, far) = (Copy::of(&ledger), Copy::of(&ledger));
    let (service, _near) = relaying(&settings, near.clone()).await.unwrap();
    let (_service, _far) = relaying(&settings, far.clone()).await.unwrap();
    let client = client(&service, WORKSPACE);
    // Until the other has its share, events of many keys.
    let mut ids = HashSet::new();
    for number in 0.. {
        ids.extend(client.send(placed(&format!("key {number}"))).await.unwrap().event_ids);
        if far.count() > 0 {
            break;
        }
    }
    let before = far.count();
    for number in 0..200 {
        ids.extend(client.send(placed(&format!("key {number}"))).await.unwrap().event_ids);
    }
    ledger.wait_for(&ids.into_iter().collect::<Vec<_>>()).await;
    assert!(far.count() > before + 50 && near.count() > 50, "{} and {}", near.count(), far.count());
}
