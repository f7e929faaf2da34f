//! What the bank knows: charges by the merchant's number, and what was given back of each.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::kit::{Entry, Page, Vendor};

/// Something the bank did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// Money taken from a card.
    Charged(Charge),
    /// Money not taken, because the card would not give it.
    Declined { charge: Charge, code: String, message: String },
    /// Money given back.
    Refunded {
        /// The merchant's key of the refund.
        key: String,
        /// The merchant's key of the charge.
        charge_key: String,
        transaction_id: String,
        refund_id: String,
        amount_minor: i64,
        currency: String,
    },
    /// The merchant asked for what must never be asked for; nothing was done.
    Violation { key: String, message: String },
}

/// A charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Charge {
    /// What the merchant knows it by.
    pub key: String,
    /// What must be the merchant's only charge of that number: the invoice, or the same key.
    pub reference: String,
    pub transaction_id: String,
    pub amount_minor: i64,
    pub currency: String,
    /// What may be shown of the card.
    pub card: String,
    pub description: String,
}

/// What became of a number.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Charged(Charge),
    Declined { charge: Charge, code: String, message: String },
}

/// The bank's memory.
#[derive(Debug, Default)]
pub struct Bank {
    outcomes: HashMap<String, Outcome>,
    numbers: HashMap<String, String>,
    refunds: HashMap<String, Vec<Refund>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Refund {
    pub key: String,
    pub refund_id: String,
    pub amount_minor: i64,
}

impl Vendor for Bank {
    const NAME: &'static str = "bank";
    type Effect = Effect;

    fn apply(&mut self, entry: &Entry<Effect>) {
        match &entry.effect {
            Effect::Charged(charge) => {
                self.numbers.insert(charge.transaction_id.clone(), charge.reference.clone());
                self.outcomes.insert(charge.reference.clone(), Outcome::Charged(charge.clone()));
            }
            Effect::Declined { charge, code, message } => {
                let (charge, code, message) = (charge.clone(), code.clone(), message.clone());
                self.outcomes.insert(charge.reference.clone(), Outcome::Declined { charge, code, message });
            }
            Effect::Refunded { key, transaction_id, refund_id, amount_minor, .. } => {
                let refund =
                    Refund { key: key.clone(), refund_id: refund_id.clone(), amount_minor: *amount_minor };
                self.refunds.entry(transaction_id.clone()).or_default().push(refund);
            }
            Effect::Violation { .. } => {}
        }
    }
}

impl Bank {
    pub(crate) fn outcome(&self, number: &str) -> Option<&Outcome> {
        self.outcomes.get(number)
    }

    pub(crate) fn charge(&self, transaction_id: &str) -> Option<&Charge> {
        match self.outcomes.get(self.numbers.get(transaction_id)?)? {
            Outcome::Charged(charge) => Some(charge),
            Outcome::Declined { .. } => None,
        }
    }

    pub(crate) fn refunds(&self, transaction_id: &str) -> &[Refund] {
        self.refunds.get(transaction_id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn refunded(&self, transaction_id: &str) -> i64 {
        self.refunds(transaction_id).iter().map(|refund| refund.amount_minor).sum()
    }
}

/// Why the bank did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the number {0} was used for another sum or card")]
    NumberReused(String),
    #[error("there is no such charge")]
    NoCharge,
    #[error("{asked} is more than the {left} that are left")]
    TooMuch { asked: i64, left: i64 },
    #[error("the refund {0} was made with another sum")]
    RefundReused(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A charge that is asked for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub key: String,
    pub reference: String,
    pub amount_minor: i64,
    pub currency: String,
    pub token: String,
    pub description: String,
}

impl Page<Bank> {
    /// Charges a card once for a number; asked again, the answer is the same.
    pub(crate) fn charge(&mut self, wanted: Wanted, decline: bool) -> Result<Outcome, Refusal> {
        let card = shown(&wanted.token);
        if let Some(known) = self.vendor().outcome(&wanted.reference) {
            let (Outcome::Charged(charge) | Outcome::Declined { charge, .. }) = known;
            if charge.amount_minor == wanted.amount_minor
                && charge.currency == wanted.currency
                && charge.card == card
                && charge.key == wanted.key
            {
                return Ok(known.clone());
            }
            let message = format!("the number {} is asked for with another sum or card", wanted.reference);
            self.record(Effect::Violation { key: wanted.key, message })?;
            return Err(Refusal::NumberReused(wanted.reference));
        }
        let verdict = if decline { Some(DECLINED) } else { verdict(&wanted.token) };
        let charge = Charge {
            key: wanted.key,
            reference: wanted.reference,
            transaction_id: Uuid::now_v7().to_string(),
            amount_minor: wanted.amount_minor,
            currency: wanted.currency,
            card,
            description: wanted.description,
        };
        Ok(match verdict {
            Some((code, message)) => {
                let (code, message) = (code.to_owned(), message.to_owned());
                self.record(Effect::Declined {
                    charge: charge.clone(),
                    code: code.clone(),
                    message: message.clone(),
                })?;
                Outcome::Declined { charge, code, message }
            }
            None => {
                self.record(Effect::Charged(charge.clone()))?;
                Outcome::Charged(charge)
            }
        })
    }

    /// Gives money back once for a key, never more than was taken. Without an amount: all that is left.
    pub(crate) fn refund(
        &mut self,
        transaction_id: &str,
        key: String,
        amount_minor: Option<i64>,
    ) -> Result<Refund, Refusal> {
        let Some(charge) = self.vendor().charge(transaction_id).cloned() else {
            return Err(Refusal::NoCharge);
        };
        if let Some(known) = self.vendor().refunds(transaction_id).iter().find(|refund| refund.key == key) {
            if amount_minor.is_none_or(|amount| amount == known.amount_minor) {
                return Ok(known.clone());
            }
            let message = format!("the refund {key} is asked for with another sum");
            self.record(Effect::Violation { key: key.clone(), message })?;
            return Err(Refusal::RefundReused(key));
        }
        let left = charge.amount_minor - self.vendor().refunded(transaction_id);
        let asked = amount_minor.unwrap_or(left);
        if asked <= 0 || asked > left {
            let refusal = Refusal::TooMuch { asked, left };
            self.record(Effect::Violation { key, message: refusal.to_string() })?;
            return Err(refusal);
        }
        let refund = Refund { key, refund_id: Uuid::now_v7().to_string(), amount_minor: asked };
        self.record(Effect::Refunded {
            key: refund.key.clone(),
            charge_key: charge.key,
            transaction_id: transaction_id.to_owned(),
            refund_id: refund.refund_id.clone(),
            amount_minor: asked,
            currency: charge.currency,
        })?;
        Ok(refund)
    }
}

/// Code of Halyk Epay, and text.
type Verdict = (&'static str, &'static str);
const DECLINED: Verdict = ("462", "The issuer declined the transaction");

fn verdict(token: &str) -> Option<Verdict> {
    [
        ("tok_declined", DECLINED),
        ("tok_insufficient", ("484", "Insufficient funds")),
        ("tok_expired", ("478", "The card has expired")),
        ("tok_blocked", ("465", "The card is blocked")),
    ]
    .into_iter()
    .find_map(|(bad, verdict)| token.starts_with(bad).then_some(verdict))
}

fn shown(token: &str) -> String {
    let tail: Vec<char> = token.chars().rev().take(4).collect();
    format!("****{}", tail.into_iter().rev().collect::<String>())
}
