//! A payment takes an order, lets it go or pays for it: one commit each, under the version of the order that was read.
//! A payment that let an order go, or was undone before it took it, leaves a row that says so; whoever writes that row
//! changes the order too, so that of a claim and its release one comes after the other.

use artel_client::Call;
use artel_proto::order::{
    ClaimOrderRequest, MarkOrderPaidRequest, Order, OrderPaid, OrderStatus, ReleaseOrderRequest,
    ReleasedClaim,
};
use artel_repo::{Commit, Repo};
use artel_util::{Error, now};

use super::course::{self, Claim, Release, is_dishes};
use crate::error::Refusal;
use crate::place::{ATTEMPTS, is_overtaken};

/// Takes the order for the payment.
pub(super) async fn claim(repo: &Repo, call: &Call, asked: &ClaimOrderRequest) -> Result<Order, Error> {
    for _ in 0..ATTEMPTS {
        let mut order = dishes(repo, call, &asked.id).await?;
        if order.user_id != asked.user_id {
            return Err(Refusal::NoSuchOrder.into());
        }
        let released: Option<ReleasedClaim> = repo.get(call, &asked.payment_id).await?;
        match course::claim(&order, &asked.payment_id, released.is_some())? {
            Claim::Held => return Ok(order),
            Claim::Take => {
                order.set_status(OrderStatus::Paying);
                order.payment_id = asked.payment_id.to_ascii_lowercase();
            }
        }
        order.update_time = Some(now());
        if changed(repo, call, &mut order, &["status", "payment_id"], Commit::new()).await? {
            return Ok(order);
        }
    }
    Err(Refusal::Busy.into())
}

/// Lets the order go, and sees to it that the payment does not take it later.
pub(super) async fn release(repo: &Repo, call: &Call, asked: &ReleaseOrderRequest) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let order: Option<Order> = repo.get(call, &asked.id).await?;
        // What there is not cannot be taken later either.
        let Some(mut order) = order else { return Ok(()) };
        let released: Option<ReleasedClaim> = repo.get(call, &asked.payment_id).await?;
        let fields: &[&str] = match (course::release(&order, &asked.payment_id)?, &released) {
            (Release::Forestall, Some(_)) => return Ok(()),
            (Release::Forestall, None) => &[],
            (Release::LetGo, _) => {
                order.set_status(OrderStatus::Placed);
                order.payment_id.clear();
                &["status", "payment_id"]
            }
        };
        let row = ReleasedClaim {
            id: asked.payment_id.clone(),
            order_id: order.id.clone(),
            ..ReleasedClaim::default()
        };
        order.update_time = Some(now());
        let commit = if released.is_some() { Commit::new() } else { Commit::new().insert(&row) };
        if changed(repo, call, &mut order, fields, commit).await? {
            return Ok(());
        }
    }
    Err(Refusal::Busy.into())
}

/// Marks the order as paid by the payment that took it, and tells it.
pub(super) async fn paid(repo: &Repo, call: &Call, asked: &MarkOrderPaidRequest) -> Result<Order, Error> {
    for _ in 0..ATTEMPTS {
        let order = dishes(repo, call, &asked.id).await?;
        let Some(mut paid) = course::paid(&order, &asked.payment_id, asked.bonus_minor, now())? else {
            return Ok(order);
        };
        paid.update_time = paid.pay_time;
        let told = OrderPaid {
            order_id: paid.id.clone(),
            user_id: paid.user_id.clone(),
            payment_id: paid.payment_id.clone(),
            order: Some(Order { version: paid.version + 1, ..paid.clone() }),
        };
        let fields = ["status", "bonus_minor", "pay_time", "expire_time"];
        if changed(repo, call, &mut paid, &fields, Commit::new().publish(&told)).await? {
            metrics::counter!("artel_order_dishes_paid_total").increment(1);
            return Ok(paid);
        }
    }
    Err(Refusal::Busy.into())
}

/// An order of dishes, whoever's it is.
async fn dishes(repo: &Repo, call: &Call, id: &str) -> Result<Order, Error> {
    let order: Option<Order> = repo.get(call, id).await?;
    Ok(order.filter(is_dishes).ok_or(Refusal::NoSuchOrder)?)
}

/// Writes the fields of the order beside what else the commit does; false where the order has changed since it was read.
async fn changed(
    repo: &Repo,
    call: &Call,
    order: &mut Order,
    fields: &[&str],
    commit: Commit,
) -> Result<bool, Error> {
    let fields: Vec<&str> = fields.iter().copied().chain(["update_time"]).collect();
    let commit = commit.update(order, &fields).expect_version(order.version);
    match repo.commit(call, commit).await {
        Ok(_) => {
            order.version += 1;
            Ok(true)
        }
        Err(error) if is_overtaken(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
