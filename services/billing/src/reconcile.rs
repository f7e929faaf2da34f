//! Payments that failed while nobody could tell whether the bank took money: a request that was held up on its way may take
//! it after it was looked up. They are looked up for a day, and what is found is given back.

use std::sync::Arc;

use artel_client::Call;
use artel_handle::{Delivery, Listener};
use artel_inbox::Inbox;
use artel_proto::billing::{Payment, PaymentStatus};
use artel_proto::persist::Operator;
use artel_proto::webhook::WebhookReceived;
use artel_queue::Failure;
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::time::{from_chrono, to_chrono};
use artel_util::{Error, now};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use crate::acquirer::{Acquirer, payment_of};
use crate::payment::void;

/// The source of the bank's own news.
const SOURCE: &str = "halyk";
/// As many as one look takes on.
const AT_ONCE: i32 = 200;
/// Between two looks: from, up to.
const PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(5), TimeDelta::hours(1));

/// Asks the bank again. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reconciler {
    repo: Repo,
    bank: Arc<dyn Acquirer>,
    inbox: Inbox,
    /// For how long after a payment was asked for.
    within: TimeDelta,
}

impl Reconciler {
    pub fn new(repo: Repo, bank: Arc<dyn Acquirer>, inbox: Inbox, within: TimeDelta) -> Self {
        Self { repo, bank, inbox, within }
    }

    /// Looks up what is due, in whatever workspace.
    pub async fn sweep(&self, call: &Call) -> Result<(), Error> {
        let due =
            || Query::new().filter(Filter::compare("check_time", Operator::LessOrEqual, [now().into()]));
        for workspace in self.repo.workspaces::<Payment>(call, due()).await? {
            let call = Call { workspace, ..call.clone() };
            let page = due().order("check_time", Direction::Ascending).page(AT_ONCE, "");
            for payment in self.repo.query::<Payment>(&call, page).await?.items {
                self.look(&call, payment).await?;
            }
        }
        Ok(())
    }

    /// Looks one up, gives back what is found, and says when to look next.
    async fn look(&self, call: &Call, mut payment: Payment) -> Result<(), Error> {
        if payment.status() != PaymentStatus::Failed {
            return Ok(());
        }
        let begun = payment.create_time.as_ref().and_then(to_chrono).unwrap_or_default();
        let outcome = match void(&*self.bank, &payment).await {
            Ok(Some(charged)) => {
                tracing::warn!(payment = payment.id, "the bank took money after all; it is given back");
                (payment.transaction_id, payment.card) = (charged.transaction_id, charged.card_mask);
                payment.check_time = None;
                "given_back"
            }
            Ok(None) => {
                payment.check_time = next(begun, Utc::now(), self.within).map(from_chrono);
                "nothing"
            }
            Err(error) => {
                tracing::info!(payment = payment.id, %error, "the bank cannot be asked yet");
                // Not knowing is no reason to stop asking.
                payment.check_time =
                    next(begun, Utc::now(), TimeDelta::MAX).map(from_chrono).or(payment.check_time);
                "away"
            }
        };
        metrics::counter!("artel_billing_reconciled_total", "outcome" => outcome).increment(1);
        let fields = ["transaction_id", "card", "check_time"];
        let commit = Commit::new().update(&payment, &fields).expect_version(payment.version);
        match self.repo.commit(call, commit).await {
            Err(error) if error.reason() != "PRECONDITION_FAILED" => Err(error),
            _ => Ok(()),
        }
    }

    /// What the bank tells by itself is not signed: it only says which payment to ask the bank about.
    async fn told(&self, call: &Call, event: &WebhookReceived) -> Result<(), Error> {
        let received = self.inbox.open(call, event).await?;
        if received.is_settled() {
            return Ok(());
        }
        let Some(id) = payment_of(received.body()) else {
            return self.inbox.reject(call, &received, "names no payment").await;
        };
        let Some(payment) = self.repo.get::<Payment>(call, &id).await? else {
            return self.inbox.reject(call, &received, "names a payment that there is not").await;
        };
        let found = self.bank.find_charge(&payment.id).await.map_err(|why| crate::error::away(&why.0))?;
        if found.is_none() {
            return self.inbox.reject(call, &received, "the bank itself knows of no such charge").await;
        }
        if payment.status() == PaymentStatus::Failed && payment.transaction_id.is_empty() {
            self.look(call, payment).await?;
        }
        self.inbox.accept(call, &received).await
    }
}

#[async_trait]
impl Listener<WebhookReceived> for Reconciler {
    async fn hear(&self, delivery: &Delivery, event: WebhookReceived) -> Result<(), Failure> {
        // Every owner hears of every webhook.
        if event.source == SOURCE {
            self.told(&delivery.call, &event).await?;
        }
        Ok(())
    }
}

/// When to look next: after as long as the payment is old by now, within the pauses; `None` where that is enough.
fn next(begun: DateTime<Utc>, now: DateTime<Utc>, within: TimeDelta) -> Option<DateTime<Utc>> {
    let age = now - begun;
    (age < within).then(|| now + age.clamp(PAUSE.0, PAUSE.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_rarer_and_rarer_and_end_after_a_day() {
        let begun = DateTime::UNIX_EPOCH;
        let day = TimeDelta::hours(24);
        let (mut looks, mut moment) = (0, begun);
        while let Some(next) = next(begun, moment, day) {
            assert!(next - moment >= PAUSE.0 && next - moment <= PAUSE.1);
            (looks, moment) = (looks + 1, next);
        }
        assert!((day..=day + PAUSE.1).contains(&(moment - begun)), "{moment}");
        assert!((20..60).contains(&looks), "{looks}");
    }
}
