//! Brokers for tests.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use artel_persist::Broker;
use artel_queue::{Event, Outcome, Unfinished};

/// A broker in memory that can be told to fail.
#[derive(Clone, Default)]
pub struct Memory(pub Arc<Mutex<Ledger>>);

#[derive(Default)]
pub struct Ledger {
    pub events: Vec<Event>,
    /// Refuses the rest of a batch after so many, once for each entry.
    pub fail_after: Vec<usize>,
    pub unroutable: HashSet<String>,
    /// What went to one service alone.
    pub resent: Vec<(String, Event)>,
}

impl Broker for Memory {
    async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        let mut ledger = self.0.lock().unwrap();
        let taken = ledger.fail_after.pop().unwrap_or(batch.len()).min(batch.len());
        ledger.events.extend_from_slice(&batch[..taken]);
        let outcome = |event: &Event| {
            if ledger.unroutable.contains(&event.name) { Outcome::Unroutable } else { Outcome::Confirmed }
        };
        if taken == batch.len() {
            return Ok(batch.iter().map(outcome).collect());
        }
        let known = batch.iter().enumerate().map(|(index, event)| (index < taken).then(|| outcome(event)));
        Err(Unfinished { outcomes: known.collect(), cause: artel_queue::Error::Away(Duration::ZERO) })
    }

    async fn resend(&self, service: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        let mut ledger = self.0.lock().unwrap();
        let taken = ledger.fail_after.pop().unwrap_or(batch.len()).min(batch.len());
        ledger.resent.extend(batch[..taken].iter().map(|event| (service.to_owned(), event.clone())));
        if taken == batch.len() {
            return Ok(vec![Outcome::Confirmed; taken]);
        }
        let known = (0..batch.len()).map(|index| (index < taken).then_some(Outcome::Confirmed));
        Err(Unfinished { outcomes: known.collect(), cause: artel_queue::Error::Away(Duration::ZERO) })
    }
}

impl Memory {
    pub fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().events.iter().map(|event| event.id.clone()).collect()
    }

    pub async fn wait_for(&self, ids: &[String]) {
        let wanted: HashSet<&String> = ids.iter().collect();
        for _ in 0..600 {
            let seen: HashSet<String> = self.ids().into_iter().collect();
            if wanted.iter().all(|id| seen.contains(*id)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let seen: HashSet<String> = self.ids().into_iter().collect();
        panic!("{} events were lost", wanted.iter().filter(|id| !seen.contains(**id)).count());
    }
}

/// A broker that takes its time, keeps an eye on which keys are on their way, and refuses some of what it is given: of a
/// batch that it refuses it takes the rest all the same, as RabbitMQ does where a queue is full for a moment.
#[derive(Clone, Default)]
pub struct Slow {
    pub ledger: Memory,
    pub way: Arc<Mutex<Way>>,
}

#[derive(Default)]
pub struct Way {
    batches: usize,
    keys: HashSet<String>,
    under_way: usize,
    /// Batches on their way at once at most.
    pub most: usize,
    /// A key was on its way twice.
    pub met: bool,
}

impl Broker for Slow {
    async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        let keys: HashSet<String> = batch.iter().map(|event| event.key.clone()).collect();
        let number = {
            let mut way = self.way.lock().unwrap();
            way.met |= !way.keys.is_disjoint(&keys);
            way.keys.extend(keys.iter().cloned());
            (way.batches, way.under_way) = (way.batches + 1, way.under_way + 1);
            way.most = way.most.max(way.under_way);
            way.batches
        };
        // Later ones are often answered first.
        tokio::time::sleep(Duration::from_millis([9, 2, 5, 1][number % 4])).await;
        let refused = (number % 5 == 0).then_some(batch.len() / 2);
        {
            let mut way = self.way.lock().unwrap();
            way.under_way -= 1;
            way.keys.retain(|key| !keys.contains(key));
        }
        let Some(refused) = refused else { return self.ledger.publish(batch).await };
        // Of one key nothing overtakes what was refused, within a batch.
        let key = &batch[refused].key;
        let taken = |index: usize, event: &Event| index != refused && (index < refused || event.key != *key);
        let known: Vec<Option<Outcome>> = batch
            .iter()
            .enumerate()
            .map(|(index, event)| taken(index, event).then_some(Outcome::Confirmed))
            .collect();
        let events =
            batch.iter().zip(&known).filter(|(_, outcome)| outcome.is_some()).map(|(event, _)| event.clone());
        self.ledger.0.lock().unwrap().events.extend(events);
        Err(Unfinished { outcomes: known, cause: artel_queue::Error::Refused })
    }

    async fn resend(&self, service: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        self.ledger.resend(service, batch).await
    }
}

/// A broker that never answers.
pub struct Nowhere;

impl Broker for Nowhere {
    async fn publish(&self, _: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        std::future::pending().await
    }

    async fn resend(&self, _: &str, _: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        std::future::pending().await
    }
}
