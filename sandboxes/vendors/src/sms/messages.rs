//! Messages that went out.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::kit::{Entry, Vendor};

/// Something the provider did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// A message came to a phone. Twice the same where the provider itself sent it twice.
    Delivered {
        /// The sender's.
        id: String,
        /// Digits.
        phone: String,
        text: String,
        sender: String,
        /// How many messages the text makes and is paid for as.
        parts: usize,
    },
    /// A message was paid for and came to nobody.
    Undelivered { id: String, phone: String, text: String },
}

/// The provider's memory.
#[derive(Debug, Default)]
pub struct Sms(HashMap<(String, String), Known>);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub delivered: bool,
    pub time: DateTime<Utc>,
    pub parts: usize,
}

impl Vendor for Sms {
    const NAME: &'static str = "sms";
    type Effect = Effect;

    fn apply(&mut self, entry: &Entry<Effect>) {
        let (id, phone, delivered, parts) = match &entry.effect {
            Effect::Delivered { id, phone, parts, .. } => (id, phone, true, *parts),
            Effect::Undelivered { id, phone, .. } => (id, phone, false, 1),
        };
        let known = Known { delivered, time: entry.time, parts };
        self.0.entry((id.clone(), phone.clone())).or_insert(known);
    }
}

impl Sms {
    pub(crate) fn known(&self, id: &str, phone: &str) -> Option<Known> {
        self.0.get(&(id.to_owned(), phone.to_owned())).copied()
    }
}

/// How many messages a text makes: 160 characters, or 153 of each of several; 70 and 67 where it is not plain Latin.
pub(crate) fn parts(text: &str) -> usize {
    let (alone, of_several) = if text.is_ascii() { (160, 153) } else { (70, 67) };
    let length = text.encode_utf16().count();
    if length <= alone { 1 } else { length.div_ceil(of_several) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_several_messages() {
        assert_eq!(parts(""), 1);
        assert_eq!(parts(&"a".repeat(160)), 1);
        assert_eq!(parts(&"a".repeat(161)), 2);
        assert_eq!(parts(&"a".repeat(307)), 3);
        assert_eq!(parts(&"я".repeat(70)), 1);
        assert_eq!(parts(&"я".repeat(71)), 2);
    }
}
