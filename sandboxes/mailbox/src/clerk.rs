//! The one writer. Messages of many conversations that wait at the same moment share one fsync, and a reader
//! sees a message only when it is on the disk.

use std::{
    io,
    path::Path,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    thread,
};

use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Error,
    ledger::{Envelope, Ledger},
    message::Summary,
    store::Store,
};

/// Messages written together at most.
const BATCH: usize = 64;
/// Bytes written together at most, the last message not counted.
const BATCH_BYTES: usize = 16 * 1024 * 1024;

enum Job {
    Keep { envelope: Envelope, raw: Vec<u8>, done: oneshot::Sender<io::Result<()>> },
    Clear { done: oneshot::Sender<io::Result<()>> },
    Close { done: oneshot::Sender<io::Result<()>> },
}

/// The way to the ledger and what it holds, for the conversations and the API.
#[derive(Clone)]
pub struct Clerk {
    jobs: mpsc::Sender<Job>,
    store: Arc<RwLock<Store>>,
    changes: watch::Receiver<u64>,
}

impl Clerk {
    /// Reads the ledger of `folder` and starts the writer. Blocks while it reads.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let mut store = Store::default();
        let ledger = Ledger::open(folder, |envelope, raw, place| {
            store.apply(envelope, Summary::of(raw), place);
        })?;
        tracing::info!(folder = %folder.display(), messages = store.len(), "ledger open");
        let store = Arc::new(RwLock::new(store));
        let (jobs, queue) = mpsc::channel(BATCH);
        let (changed, changes) = watch::channel(0);
        let writer = Writer { ledger, store: store.clone(), changed };
        thread::Builder::new()
            .name("mailbox-ledger".into())
            .spawn(move || writer.run(queue))
            .map_err(|source| Error::Serve { what: "the ledger", source })?;
        Ok(Self { jobs, store, changes })
    }

    /// Returns when the message is on the disk and can be read.
    pub async fn keep(&self, envelope: Envelope, raw: Vec<u8>) -> io::Result<()> {
        self.ask(|done| Job::Keep { envelope, raw, done }).await
    }

    pub async fn clear(&self) -> io::Result<()> {
        self.ask(|done| Job::Clear { done }).await
    }

    /// Ends the writer and gives the folder free. Messages that come after this are not kept.
    pub async fn close(&self) -> io::Result<()> {
        self.ask(|done| Job::Close { done }).await
    }

    pub fn store(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts up with each change to the store.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// Whether messages can still be written.
    pub fn is_alive(&self) -> bool {
        !self.jobs.is_closed()
    }

    /// Returns when the writer has stopped by itself.
    pub async fn stopped(&self) {
        self.jobs.closed().await;
    }

    async fn ask(&self, job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job) -> io::Result<()> {
        let stopped = || io::Error::other("the ledger's writer has stopped");
        let (done, answer) = oneshot::channel();
        self.jobs.send(job(done)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

struct Writer {
    ledger: Ledger,
    store: Arc<RwLock<Store>>,
    changed: watch::Sender<u64>,
}

impl Writer {
    fn run(mut self, queue: mpsc::Receiver<Job>) {
        let asked = self.work(queue);
        drop(self);
        if let Some(done) = asked {
            // Whoever asked may be gone; here and below, what was asked for is done all the same.
            let _ = done.send(Ok(()));
        }
    }

    fn work(&mut self, mut queue: mpsc::Receiver<Job>) -> Option<oneshot::Sender<io::Result<()>>> {
        while let Some(first) = queue.blocking_recv() {
            let (mut records, mut waiting, mut bytes) = (Vec::new(), Vec::new(), 0);
            let mut next = Some(first);
            let mut other = None;
            while let Some(job) = next.take() {
                match job {
                    Job::Keep { envelope, raw, done } => {
                        bytes += raw.len();
                        records.push((envelope, raw));
                        waiting.push(done);
                    }
                    job => {
                        other = Some(job);
                        break;
                    }
                }
                if records.len() < BATCH && bytes < BATCH_BYTES {
                    next = queue.try_recv().ok();
                }
            }
            if !records.is_empty() {
                self.keep(records, waiting);
            }
            match other {
                Some(Job::Clear { done }) => {
                    let cleared = self.ledger.clear();
                    if cleared.is_ok() {
                        self.change(Store::clear);
                    }
                    let _ = done.send(cleared);
                }
                Some(Job::Close { done }) => return Some(done),
                _ => {}
            }
        }
        None
    }

    fn keep(&mut self, records: Vec<(Envelope, Vec<u8>)>, waiting: Vec<oneshot::Sender<io::Result<()>>>) {
        let answer = match self.ledger.append(&records) {
            Ok(places) => {
                let summaries: Vec<_> = records.iter().map(|(_, raw)| Summary::of(raw)).collect();
                self.change(|store| {
                    for (((envelope, _), summary), place) in records.into_iter().zip(summaries).zip(places) {
                        store.apply(envelope, summary, place);
                    }
                });
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, messages = records.len(), "messages not kept");
                Err(error.to_string())
            }
        };
        for done in waiting {
            let _ = done.send(answer.clone().map_err(io::Error::other));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Store)) {
        change(&mut self.store.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|version| *version += 1);
    }
}
