//! The plain bank of the contract: `POST /transactions` with an `Idempotency-Key`.

mod client;
mod wire;

use std::time::Duration;

use artel_outside::{Failed, Reply};
use async_trait::async_trait;

use self::client::Client;
use super::settings::PlainSettings;
use super::{Acquirer, Charge, Charged, GiveBack, GivenBack};
use crate::outside::{Answer, Away};

/// The plain bank.
pub(crate) struct Plain(Client);

impl Plain {
    pub fn new(settings: &PlainSettings, within: Duration) -> anyhow::Result<Self> {
        Ok(Self(Client::new(settings, within)?))
    }
}

#[async_trait]
impl Acquirer for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    async fn charge(&self, charge: &Charge) -> Answer<Charged> {
        let answered = match self.0.charge(&charge.key, &wire::NewCharge::of(charge)).await {
            Ok(reply) => outcome::<wire::Transaction>(&reply),
            Err(failed) => failed.into(),
        };
        answered.and_then(|transaction| match transaction.is(charge) {
            true => Answer::Done(transaction.into()),
            false => Answer::Unknown("the bank answered about another charge".to_owned()),
        })
    }

    async fn find_charge(&self, key: &str) -> Result<Option<Charged>, Away> {
        let found: wire::Transactions = read(&self.0.find_charge(key).await?)?;
        Ok(found.transactions.into_iter().find(|found| found.idempotency_key == key).map(Into::into))
    }

    async fn refund(&self, refund: &GiveBack) -> Answer<GivenBack> {
        let body = wire::NewRefund { amount_minor: refund.amount_minor };
        let answered = match self.0.refund(&refund.transaction_id, &refund.key, &body).await {
            Ok(reply) => outcome::<wire::Refund>(&reply),
            Err(failed) => failed.into(),
        };
        answered.and_then(|given| Answer::Done(given.into()))
    }

    async fn find_refund(&self, refund: &GiveBack) -> Result<Option<GivenBack>, Away> {
        let found: wire::Refunds = read(&self.0.find_refund(&refund.transaction_id, &refund.key).await?)?;
        Ok(found.refunds.into_iter().find(|found| found.idempotency_key == refund.key).map(Into::into))
    }
}

/// Tells what was done from what was refused.
fn outcome<T: serde::de::DeserializeOwned>(reply: &Reply) -> Answer<T> {
    if reply.status.is_success() {
        return match reply.read() {
            Ok(done) => Answer::Done(done),
            Err(failed) => failed.into(),
        };
    }
    match (reply.status.as_u16(), reply.read::<wire::Problem>()) {
        // Ours to mend: the address or the API key is not right.
        (401 | 403 | 404 | 405, _) | (_, Err(_)) => Answer::NotDone(format!("answered {}", reply.status)),
        // Somebody asks the same at this moment.
        (409 | 425, _) => Answer::Unknown(format!("answered {}", reply.status)),
        (_, Ok(problem)) => Answer::refused(problem.code, problem.message),
    }
}

fn read<T: serde::de::DeserializeOwned>(reply: &Reply) -> Result<T, Failed> {
    if reply.status.is_success() {
        reply.read()
    } else {
        Err(Failed::NotDone(format!("answered {}", reply.status)))
    }
}
