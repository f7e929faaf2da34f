//! The ledger folded into what a reader sees. The same Message-ID for the same recipient is kept once, as the
//! duplicate suppression of real mail stores does, and counted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    ledger::{Envelope, Place},
    message::Summary,
};

/// A kept message: the recipients are those who did not have it yet when it came.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its position in the order of arrival, from 1; what pages continue from.
    pub number: u64,
    pub id: Uuid,
    pub time: DateTime<Utc>,
    pub envelope_from: String,
    pub recipients: Vec<Recipient>,
    pub summary: Summary,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub address: String,
    /// How often the sender has sent the message to this address.
    pub deliveries: u64,
}

impl Entry {
    /// For one address what it was sent; without one, the most any recipient was.
    pub fn deliveries(&self, to: Option<&str>) -> u64 {
        let counted = self.recipients.iter().filter(|recipient| match to {
            Some(to) => folded(&recipient.address) == folded(to),
            None => true,
        });
        counted.map(|recipient| recipient.deliveries).max().unwrap_or(0)
    }

    fn mentions(&self, needle: &str) -> bool {
        let from = self.summary.from.as_deref().unwrap_or(&self.envelope_from);
        [from, &self.summary.subject]
            .into_iter()
            .chain(self.recipients.iter().map(|recipient| recipient.address.as_str()))
            .any(|text| folded(text).contains(needle))
    }
}

/// Which messages are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// An envelope recipient, without regard to case.
    pub to: Option<String>,
    /// A part of the sender, a recipient or the subject, without regard to case.
    pub query: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages taken in since the mailbox was last cleared, duplicates too.
    pub accepted: u64,
    /// Deliveries to a recipient who had the message already.
    pub suppressed: u64,
}

#[derive(Debug, Default)]
pub struct Store {
    entries: Vec<Entry>,
    by_id: HashMap<Uuid, usize>,
    by_recipient: HashMap<String, Vec<usize>>,
    /// Message-ID, then recipient, to the entry that holds the first delivery.
    delivered: HashMap<String, HashMap<String, usize>>,
    counts: Counts,
}

impl Store {
    pub fn apply(&mut self, envelope: Envelope, summary: Summary, place: Place) {
        self.counts.accepted += 1;
        let next = self.entries.len();
        let mut recipients = Vec::with_capacity(envelope.to.len());
        for address in envelope.to {
            let key = folded(&address);
            if let Some(message_id) = &summary.message_id {
                let holders = self.delivered.entry(message_id.clone()).or_default();
                if let Some(first) = holders.get(&key) {
                    self.counts.suppressed += 1;
                    let kept = &mut self.entries[*first].recipients;
                    kept.iter_mut()
                        .filter(|recipient| folded(&recipient.address) == key)
                        .for_each(|recipient| recipient.deliveries += 1);
                    continue;
                }
                holders.insert(key.clone(), next);
            }
            self.by_recipient.entry(key).or_default().push(next);
            recipients.push(Recipient { address, deliveries: 1 });
        }
        if recipients.is_empty() {
            return;
        }
        self.by_id.insert(envelope.id, next);
        self.entries.push(Entry {
            number: next as u64 + 1,
            id: envelope.id,
            time: envelope.time,
            envelope_from: envelope.from,
            recipients,
            summary,
            place,
        });
    }

    pub fn get(&self, id: Uuid) -> Option<&Entry> {
        self.by_id.get(&id).map(|at| &self.entries[*at])
    }

    /// The matching entries that came before entry `before` (or all), newest first.
    pub fn newest<'a>(
        &'a self,
        filter: &'a Filter,
        before: Option<u64>,
    ) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        let candidates: Box<dyn Iterator<Item = &Entry>> = match &filter.to {
            Some(to) => {
                let places = self.by_recipient.get(&folded(to)).map_or(&[][..], Vec::as_slice);
                Box::new(places.iter().rev().map(|at| &self.entries[*at]))
            }
            None => Box::new(self.entries.iter().rev()),
        };
        let needle = filter.query.as_deref().map(folded);
        Box::new(candidates.filter(move |entry| {
            before.is_none_or(|before| entry.number < before)
                && needle.as_deref().is_none_or(|needle| entry.mentions(needle))
        }))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Addresses are compared without case, in the local part too: every store in use does so.
fn folded(text: &str) -> String {
    text.to_lowercase()
}
