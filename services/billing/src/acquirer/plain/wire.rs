//! What the plain bank says and hears.

use serde::{Deserialize, Serialize};

use crate::acquirer::{Charge, Charged, GivenBack};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewCharge<'a> {
    amount_minor: i64,
    currency: &'a str,
    card_token: &'a str,
    order_number: &'a str,
    description: &'a str,
}

impl<'a> NewCharge<'a> {
    pub fn of(charge: &'a Charge) -> Self {
        Self {
            amount_minor: charge.amount_minor,
            currency: &charge.currency,
            card_token: charge.card_token.reveal(),
            order_number: &charge.order_number,
            description: &charge.description,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    transaction_id: String,
    pub idempotency_key: String,
    amount_minor: i64,
    currency: String,
    #[serde(default)]
    card: String,
}

impl Transaction {
    /// True where it is this charge.
    pub fn is(&self, charge: &Charge) -> bool {
        self.idempotency_key == charge.key
            && self.amount_minor == charge.amount_minor
            && self.currency == charge.currency
    }
}

impl From<Transaction> for Charged {
    fn from(transaction: Transaction) -> Self {
        Self {
            transaction_id: transaction.transaction_id,
            card_mask: transaction.card,
            amount_minor: transaction.amount_minor,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Transactions {
    pub transactions: Vec<Transaction>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewRefund {
    pub amount_minor: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Refund {
    refund_id: String,
    pub idempotency_key: String,
}

impl From<Refund> for GivenBack {
    fn from(refund: Refund) -> Self {
        Self { transaction_id: refund.refund_id }
    }
}

#[derive(Deserialize)]
pub(super) struct Refunds {
    pub refunds: Vec<Refund>,
}

#[derive(Deserialize)]
pub(super) struct Problem {
    pub code: String,
    #[serde(default)]
    pub message: String,
}
