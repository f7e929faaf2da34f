//! The bank that charges cards.

mod halyk;
mod plain;
mod settings;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub(crate) use self::halyk::{Halyk, payment_of};
pub(crate) use self::plain::Plain;
pub(crate) use self::settings::Settings;
use crate::outside::{Answer, Away};

/// Charges cards and gives money back. Each call has its own timeout and is tried once. A key that was charged or refunded
/// is answered as before and never moves money again.
#[async_trait]
pub(crate) trait Acquirer: Send + Sync + 'static {
    /// As it stands in a payment: `halyk`, `plain`.
    fn name(&self) -> &'static str;

    /// Takes money from a card.
    async fn charge(&self, charge: &Charge) -> Answer<Charged>;

    /// The charge with that key; `None` where the bank has taken nothing for it. A charge that is still on its way there
    /// can arrive after that.
    async fn find_charge(&self, key: &str) -> Result<Option<Charged>, Away>;

    /// Gives back a part of a charge, or all that is left.
    async fn refund(&self, refund: &GiveBack) -> Answer<GivenBack>;

    /// What was given back with that refund's key; `None` where nothing was.
    async fn find_refund(&self, refund: &GiveBack) -> Result<Option<GivenBack>, Away>;
}

/// Money to take.
#[derive(Debug, Clone)]
pub(crate) struct Charge {
    /// The payment's id.
    pub key: String,
    /// How much, in minor units; more than 0.
    pub amount_minor: i64,
    /// The ISO 4217 code.
    pub currency: String,
    /// What stands for the card at the bank.
    pub card_token: artel_config::Secret,
    /// What the guest knows the order by.
    pub order_number: String,
    /// What the guest reads on the bank's statement.
    pub description: String,
}

/// Money taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charged {
    /// The bank's own id of it.
    pub transaction_id: String,
    /// What the card may be shown as: `****1234`; empty where the bank doesn't say.
    pub card_mask: String,
    /// How much was taken, in minor units.
    pub amount_minor: i64,
}

/// Money to give back.
#[derive(Debug, Clone)]
pub(crate) struct GiveBack {
    /// The refund's id.
    pub key: String,
    /// The payment's id.
    pub payment_key: String,
    /// The bank's own id of the charge.
    pub transaction_id: String,
    /// How much, in minor units; more than 0.
    pub amount_minor: i64,
    /// The ISO 4217 code.
    pub currency: String,
}

/// Money given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenBack {
    /// The bank's own id of it; empty where the bank gives none.
    pub transaction_id: String,
}
