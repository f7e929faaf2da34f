//! What waits to be sent and what is on its way, bounded in records and in bytes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A batch is sent when it is this large, in records or bytes, …
const BATCH_RECORDS: usize = 2_000;
const BATCH_BYTES: usize = 512 * 1024;
/// … or when its first record has waited this long.
const LINGER: Duration = Duration::from_millis(200);

/// How much may wait, what is sent and not acknowledged included.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Log lines.
    pub records: usize,
    /// Bytes of them, as they are sent.
    pub bytes: usize,
}

/// Lines on their way, under one id that the receiver gives back.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) chunk: String,
    pub(crate) records: usize,
    /// The entries one behind another.
    pub(crate) entries: Vec<u8>,
}

/// The buffer between the layer and the sender.
#[derive(Debug)]
pub(crate) struct Buffer {
    limits: Limits,
    state: Mutex<State>,
    dropped: AtomicU64,
    /// Told when there is a first record, a full batch, or the end.
    arrived: Notify,
    /// Told when a batch was acknowledged.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Box<[u8]>>,
    waiting_bytes: usize,
    sent: usize,
    sent_bytes: usize,
    draining: bool,
}

impl State {
    fn records(&self) -> usize {
        self.waiting.len() + self.sent
    }

    fn is_urgent(&self) -> bool {
        self.draining || self.waiting.len() >= BATCH_RECORDS || self.waiting_bytes >= BATCH_BYTES
    }
}

impl Buffer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            dropped: AtomicU64::new(0),
            arrived: Notify::new(),
            settled: Notify::new(),
        }
    }

    /// Takes a line; the oldest that wait make room for it.
    pub(crate) fn push(&self, entry: Box<[u8]>) {
        let mut dropped = 0;
        let tell = {
            let mut state = self.state();
            let fits = |state: &State| {
                state.records() < self.limits.records
                    && state.waiting_bytes + state.sent_bytes + entry.len() <= self.limits.bytes
            };
            while !fits(&state) {
                let Some(oldest) = state.waiting.pop_front() else { break };
                state.waiting_bytes -= oldest.len();
                dropped += 1;
            }
            if fits(&state) {
                let (was_empty, was_urgent) = (state.waiting.is_empty(), state.is_urgent());
                state.waiting_bytes += entry.len();
                state.waiting.push_back(entry);
                was_empty || (!was_urgent && state.is_urgent())
            } else {
                // It is too large by itself, or all the room is taken by what is on its way.
                dropped += 1;
                false
            }
        };
        if tell {
            self.arrived.notify_one();
        }
        self.lost(dropped);
    }

    /// Counts lines that will never be sent.
    pub(crate) fn lost(&self, lines: u64) {
        if lines > 0 {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
            metrics::counter!("artel_log_lines_dropped_total").increment(lines);
        }
    }

    /// How many lines were dropped since the beginning.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The lines that wait or are on their way.
    pub(crate) fn open(&self) -> usize {
        self.state().records()
    }

    /// Waits for the next batch. One at a time: what was sent must be settled first.
    pub(crate) async fn next(&self) -> Batch {
        let mut since: Option<Instant> = None;
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state();
                if state.waiting.is_empty() {
                    since = None;
                } else {
                    let since = *since.get_or_insert_with(Instant::now);
                    if state.is_urgent() || since.elapsed() >= LINGER {
                        return take(&mut state);
                    }
                }
            }
            match since {
                None => arrived.await,
                Some(since) => drop(tokio::time::timeout_at(since + LINGER, arrived).await),
            }
        }
    }

    /// The batch on its way has arrived.
    pub(crate) fn settle(&self) {
        let records = {
            let mut state = self.state();
            state.sent_bytes = 0;
            std::mem::take(&mut state.sent)
        };
        metrics::counter!("artel_log_lines_sent_total").increment(records as u64);
        self.settled.notify_waiters();
    }

    /// Sends what is there without lingering, from now on; returns when all is settled.
    pub(crate) async fn drained(&self) {
        self.state().draining = true;
        self.arrived.notify_one();
        loop {
            let settled = self.settled.notified();
            if self.open() == 0 {
                return;
            }
            settled.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(state: &mut State) -> Batch {
    let mut entries = Vec::with_capacity(state.waiting_bytes.min(BATCH_BYTES));
    let mut records = 0;
    while records < BATCH_RECORDS
        && let Some(next) = state.waiting.front()
        && (records == 0 || entries.len() + next.len() <= BATCH_BYTES)
    {
        entries.extend_from_slice(next);
        records += 1;
        state.waiting.pop_front();
    }
    state.waiting_bytes -= entries.len();
    (state.sent, state.sent_bytes) = (records, entries.len());
    Batch { chunk: STANDARD.encode(rand::random::<u128>().to_be_bytes()), records, entries }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u8, bytes: usize) -> Box<[u8]> {
        vec![number; bytes].into()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_make_room_and_are_counted() {
        let buffer = Buffer::new(Limits { records: 3, bytes: 100 });
        (1..=5).for_each(|number| buffer.push(line(number, 10)));
        assert_eq!((buffer.open(), buffer.dropped()), (3, 2));
        let batch = buffer.next().await;
        assert_eq!(batch.records, 3);
        assert_eq!(batch.entries[0], 3);
        // All the room is taken by what is on its way, and that stays.
        buffer.push(line(6, 10));
        assert_eq!((buffer.open(), buffer.dropped()), (3, 3));
        buffer.settle();
        assert_eq!(buffer.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_bounded_too() {
        let buffer = Buffer::new(Limits { records: 100, bytes: 25 });
        buffer.push(line(1, 26));
        assert_eq!((buffer.open(), buffer.dropped()), (0, 1));
        (1..=3).for_each(|number| buffer.push(line(number, 10)));
        assert_eq!((buffer.open(), buffer.dropped()), (2, 2));
        assert_eq!(buffer.next().await.entries, [[2; 10], [3; 10]].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_lingers_unless_it_is_full_or_the_end() {
        let buffer = Buffer::new(Limits { records: 10_000, bytes: 1 << 20 });
        let begin = Instant::now();
        buffer.push(line(1, 10));
        assert_eq!(buffer.next().await.records, 1);
        assert_eq!(begin.elapsed().as_millis(), LINGER.as_millis());
        buffer.settle();
        (0..=BATCH_RECORDS).for_each(|_| buffer.push(line(2, 10)));
        let begin = Instant::now();
        assert_eq!(buffer.next().await.records, BATCH_RECORDS);
        assert!(begin.elapsed().is_zero());
        buffer.settle();
        let (batch, ()) = tokio::join!(
            async {
                let batch = buffer.next().await;
                buffer.settle();
                batch
            },
            buffer.drained()
        );
        assert_eq!(batch.records, 1);
        assert!(begin.elapsed().is_zero());
    }
}
