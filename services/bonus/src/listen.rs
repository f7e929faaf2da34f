//! What `bonus` does when others speak.

use std::time::Duration;

use artel_handle::{Delivery, Listener, Live};
use artel_proto::billing::{PaymentRefunded, PaymentStatus};
use artel_proto::bonus::{BonusEntry, BonusEntryKind};
use artel_proto::order::OrderPaid;
use artel_queue::Failure;
use artel_repo::{Commit, Delta, Repo, digest};
use async_trait::async_trait;
use bytes::Bytes;

use crate::account::{ATTEMPTS, Account, caused, count, entry, is_entered, is_overtaken};
use crate::domain::{Move, earned, reversed};
use crate::error::Refusal;
use crate::settings::Settings;

/// How soon a refund looks again for what its order earned.
const SOON: Duration = Duration::from_secs(1);

/// Gives points for a paid order.
pub(crate) struct Earn {
    repo: Repo,
    settings: Live<Settings>,
}

/// Takes back with a refund what its order earned, in proportion.
pub(crate) struct TakeBack {
    repo: Repo,
}

impl Earn {
    pub(crate) fn new(repo: Repo, settings: Live<Settings>) -> Self {
        Self { repo, settings }
    }
}

impl TakeBack {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }
}

#[async_trait]
impl Listener<OrderPaid> for Earn {
    async fn hear(&self, delivery: &Delivery, event: OrderPaid) -> Result<(), Failure> {
        let lacks = |what: &str| Failure::Permanent(format!("the event carries no {what}"));
        let order = event.order.as_ref().ok_or_else(|| lacks("order"))?;
        let total = order.total.as_ref().ok_or_else(|| lacks("total"))?;
        let card = total.amount_minor.saturating_sub(order.bonus_minor);
        let amount = earned(card, self.settings.get().earn_percent);
        let mut earned =
            entry(&event.user_id, BonusEntryKind::Earn, amount, format!("earn/{}", event.order_id));
        earned.order_id.clone_from(&event.order_id);
        for _ in 0..ATTEMPTS {
            let account = Account::of(&self.repo, &delivery.call, &event.user_id).await?;
            let commit = account
                .take_in(Commit::new().insert(&earned), Move::credit(&account.row, amount))
                .once(delivery.key(), digest(&event), Bytes::new());
            match self.repo.commit(&delivery.call, commit).await {
                Ok(committed) => {
                    if !committed.replayed {
                        count(BonusEntryKind::Earn, amount);
                    }
                    return Ok(());
                }
                // The event came again after its key was swept: an order earns once by the law of the table, too.
                Err(error) if is_entered(&error) => return Ok(()),
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(artel_util::Error::from(Refusal::Busy).into())
    }
}

#[async_trait]
impl Listener<PaymentRefunded> for TakeBack {
    async fn hear(&self, delivery: &Delivery, event: PaymentRefunded) -> Result<(), Failure> {
        let (repo, call) = (&self.repo, &delivery.call);
        let lacks = |what: &str| Failure::Permanent(format!("the event carries no {what}"));
        let refund = event.refund.as_ref().ok_or_else(|| lacks("refund"))?;
        let payment = event.payment.as_ref().ok_or_else(|| lacks("payment"))?;
        let (earn, cause) = (format!("earn/{}", event.order_id), format!("reverse/{}", refund.id));
        for _ in 0..ATTEMPTS {
            let Some(earned) = caused(repo, call, &earn).await? else {
                if payment.status() != PaymentStatus::Completed {
                    // An order that never was paid for earned nothing.
                    return Ok(());
                }
                // The news that it was paid is still under way.
                let reason = format!("what the order {} earned is not known yet", event.order_id);
                return Err(Failure::Later { reason, wait: Some(SOON) });
            };
            let amount =
                reversed(earned.amount, payment.amount_minor, refund.before_minor, refund.amount_minor)
                    .min(earned.amount - earned.reversed);
            if amount == 0 {
                return Ok(());
            }
            let account = Account::of(repo, call, &earned.user_id).await?;
            let mut reverse = entry(&earned.user_id, BonusEntryKind::Reverse, -amount, cause.clone());
            reverse.order_id.clone_from(&event.order_id);
            let commit = Commit::new()
                .adjust::<BonusEntry>(&earned.id, [Delta::add("reversed", amount).ceiling(earned.amount)])
                .expect("reversed", earned.reversed)
                .insert(&reverse);
            let commit = account.take_out(commit, Move::take_back(&account.row, amount)).once(
                delivery.key(),
                digest(&event),
                Bytes::new(),
            );
            match repo.commit(call, commit).await {
                Ok(committed) => {
                    if !committed.replayed {
                        count(BonusEntryKind::Reverse, amount);
                    }
                    return Ok(());
                }
                Err(error) if is_entered(&error) => return Ok(()),
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(artel_util::Error::from(Refusal::Busy).into())
    }
}
