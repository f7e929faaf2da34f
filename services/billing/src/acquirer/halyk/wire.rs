//! What Halyk Epay says and hears.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::acquirer::settings::HalykSettings;
use crate::acquirer::{Charge, Charged};
use crate::outside::minor;

/// A number, sometimes in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Code {
    Number(i64),
    Text(String),
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(code) => code.fmt(out),
            Self::Text(code) => code.fmt(out),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Grant {
    pub access_token: String,
    /// Seconds.
    pub expires_in: Code,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment<'a> {
    amount: &'a Number,
    currency: &'a str,
    terminal_id: &'a str,
    invoice_id: &'a str,
    description: &'a str,
    account_id: &'a str,
    post_link: &'a str,
    failure_post_link: &'a str,
    language: &'static str,
    payment_type: &'static str,
    card_id: CardId<'a>,
}

#[derive(Serialize)]
struct CardId<'a> {
    id: &'a str,
}

impl<'a> Payment<'a> {
    pub fn of(charge: &'a Charge, invoice: &'a str, amount: &'a Number, settings: &'a HalykSettings) -> Self {
        Self {
            amount,
            currency: &charge.currency,
            terminal_id: &settings.terminal,
            invoice_id: invoice,
            description: &charge.description,
            account_id: &charge.key,
            post_link: &settings.post_link,
            failure_post_link: &settings.post_link,
            language: "rus",
            payment_type: "cardId",
            card_id: CardId { id: charge.card_token.reveal() },
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Paid {
    id: String,
    #[serde(rename = "accountId")]
    account_id: String,
    amount: Number,
    currency: String,
    #[serde(rename = "cardMask", default)]
    card_mask: String,
}

impl Paid {
    /// True where it is this charge.
    pub fn is(&self, charge: &Charge) -> bool {
        self.account_id == charge.key
            && self.currency == charge.currency
            && minor(&self.amount, &self.currency) == Some(charge.amount_minor)
    }
}

impl From<Paid> for Charged {
    fn from(paid: Paid) -> Self {
        let amount_minor = minor(&paid.amount, &paid.currency).unwrap_or_default();
        Self { transaction_id: paid.id, card_mask: paid.card_mask, amount_minor }
    }
}

#[derive(Deserialize)]
pub(super) struct Problem {
    pub code: Code,
    #[serde(default)]
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub result_code: Code,
    #[serde(default)]
    pub result_message: String,
    pub transaction: Option<Transaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    pub id: String,
    #[serde(rename = "accountID", default)]
    pub account_id: String,
    /// What is left after refunds.
    amount: Number,
    /// What was taken at first.
    org_amount: Option<Number>,
    currency: String,
    #[serde(default)]
    pub card_mask: String,
    pub status_name: String,
    pub refunds: Option<Vec<Refund>>,
}

impl Transaction {
    pub fn left_minor(&self) -> Option<i64> {
        minor(&self.amount, &self.currency)
    }

    pub fn original_minor(&self) -> Option<i64> {
        minor(self.org_amount.as_ref().unwrap_or(&self.amount), &self.currency)
    }
}

#[derive(Deserialize)]
pub(super) struct Refund {
    #[serde(default)]
    pub id: String,
    #[serde(rename = "externalID", default)]
    pub external_id: String,
}

#[derive(Deserialize, Default)]
pub(super) struct Given {
    #[serde(default)]
    pub id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostLink {
    pub invoice_id: String,
    pub account_id: String,
}
