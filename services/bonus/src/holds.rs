//! Points of payments: held, then spent or given back. Each step is one commit that stands however often it is asked for.

use artel_client::Call;
use artel_proto::bonus::{
    BonusEntryKind, BonusHold, BonusHoldStatus, HoldBonusRequest, ReleaseHoldRequest, ReturnBonusRequest,
    SpendHoldRequest,
};
use artel_repo::{Commit, Delta, Repo, digest};
use artel_util::Error;
use bytes::Bytes;

use crate::account::{ATTEMPTS, Account, adjust, caused, count, entry, is_entered, is_overtaken};
use crate::domain::Move;
use crate::error::Refusal;

/// Holds points. It is tried before it is looked whether it was done: a hold that stands may be what leaves too few.
pub(crate) async fn hold(repo: &Repo, call: &Call, asked: &HoldBonusRequest) -> Result<BonusHold, Error> {
    let mut hold = BonusHold {
        id: asked.id.clone(),
        user_id: asked.user_id.clone(),
        amount: asked.amount,
        ..BonusHold::default()
    };
    hold.set_status(BonusHoldStatus::Held);
    let commit = adjust(Commit::new().insert(&hold), &asked.user_id, Move::hold(asked.amount)).once(
        format!("bonus.hold/{}", asked.id),
        digest(asked),
        Bytes::new(),
    );
    let refused = match repo.commit(call, commit).await {
        Ok(_) => None,
        Err(error) if is_overtaken(&error) => Some(error),
        Err(error) => return Err(error),
    };
    match (repo.get::<BonusHold>(call, &asked.id).await?, refused) {
        (Some(hold), _) if hold.status() == BonusHoldStatus::Released => {
            Err(Refusal::Released { id: hold.id }.into())
        }
        (Some(hold), _) if hold.user_id != asked.user_id || hold.amount != asked.amount => {
            Err(Refusal::Reused { field: "id" }.into())
        }
        (Some(hold), _) => Ok(hold),
        (None, Some(error)) if error.reason() != "UNIQUE_VIOLATION" => {
            metrics::counter!("artel_bonus_short_total").increment(1);
            // Where there is no account there are no points.
            let balance = error.get("actual").and_then(|balance| balance.parse().ok()).unwrap_or_default();
            Err(Refusal::Short { asked: asked.amount, balance }.into())
        }
        (None, _) => Err(Refusal::Busy.into()),
    }
}

/// Spends what is held.
pub(crate) async fn spend(repo: &Repo, call: &Call, asked: &SpendHoldRequest) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let hold = find(repo, call, &asked.id).await?;
        match hold.status() {
            BonusHoldStatus::Held => {}
            BonusHoldStatus::Spent => return Ok(()),
            _ => return Err(Refusal::Released { id: hold.id }.into()),
        }
        let mut spent =
            entry(&hold.user_id, BonusEntryKind::Spend, -hold.amount, format!("spend/{}", hold.id));
        spent.order_id.clone_from(&asked.order_id);
        let commit = adjust(settled(&hold, BonusHoldStatus::Spent), &hold.user_id, Move::spend(hold.amount))
            .insert(&spent)
            .once(format!("bonus.spend/{}", hold.id), digest(asked), Bytes::new());
        match repo.commit(call, commit).await {
            Ok(committed) => {
                if !committed.replayed {
                    count(BonusEntryKind::Spend, hold.amount);
                }
                return Ok(());
            }
            Err(error) if is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}

/// Gives back what is held. What was never held stands as given back from now on.
pub(crate) async fn release(repo: &Repo, call: &Call, asked: &ReleaseHoldRequest) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let commit = match repo.get::<BonusHold>(call, &asked.id).await? {
            None => {
                let (id, user_id) = (asked.id.clone(), asked.user_id.clone());
                let mut tombstone = BonusHold { id, user_id, ..BonusHold::default() };
                tombstone.set_status(BonusHoldStatus::Released);
                Commit::new().insert(&tombstone)
            }
            Some(hold) => match hold.status() {
                BonusHoldStatus::Held => {
                    let account = Account::of(repo, call, &hold.user_id).await?;
                    let change = Move::release(&account.row, hold.amount);
                    account.take_in(settled(&hold, BonusHoldStatus::Released), change)
                }
                BonusHoldStatus::Spent => return Err(Refusal::Spent { id: hold.id }.into()),
                _ => return Ok(()),
            },
        };
        let commit = commit.once(format!("bonus.release/{}", asked.id), digest(asked), Bytes::new());
        match repo.commit(call, commit).await {
            Ok(_) => return Ok(()),
            Err(error) if is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}

/// Gives back what was spent, with a refund.
pub(crate) async fn give_back(repo: &Repo, call: &Call, asked: &ReturnBonusRequest) -> Result<(), Error> {
    let cause = format!("return/{}", asked.id);
    for _ in 0..ATTEMPTS {
        let hold = find(repo, call, &asked.payment_id).await?;
        if let Some(entry) = caused(repo, call, &cause).await? {
            let is_same = entry.amount == asked.amount && entry.user_id == hold.user_id;
            return if is_same { Ok(()) } else { Err(Refusal::Reused { field: "id" }.into()) };
        }
        let spent = if hold.status() == BonusHoldStatus::Spent { hold.amount } else { 0 };
        let left = spent - hold.returned;
        if asked.amount > left {
            return Err(Refusal::Returned { asked: asked.amount, left }.into());
        }
        let account = Account::of(repo, call, &hold.user_id).await?;
        let mut returned = entry(&hold.user_id, BonusEntryKind::Return, asked.amount, cause.clone());
        returned.order_id.clone_from(&asked.order_id);
        let commit = Commit::new()
            .adjust::<BonusHold>(&hold.id, [Delta::add("returned", asked.amount).ceiling(spent)])
            .insert(&returned);
        let commit = account.take_in(commit, Move::credit(&account.row, asked.amount)).once(
            format!("bonus.return/{}", asked.id),
            digest(asked),
            Bytes::new(),
        );
        match repo.commit(call, commit).await {
            Ok(committed) => {
                if !committed.replayed {
                    count(BonusEntryKind::Return, asked.amount);
                }
                return Ok(());
            }
            Err(error) if is_entered(&error) || is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}

async fn find(repo: &Repo, call: &Call, id: &str) -> Result<BonusHold, Error> {
    let hold: Option<BonusHold> = repo.get(call, id).await?;
    Ok(hold.ok_or_else(|| Refusal::NoSuchHold { id: id.to_owned() })?)
}

/// The hold as it ends, for whoever saw it last.
fn settled(hold: &BonusHold, status: BonusHoldStatus) -> Commit {
    let mut settled = hold.clone();
    settled.set_status(status);
    Commit::new().update(&settled, &["status"]).expect_version(hold.version)
}
