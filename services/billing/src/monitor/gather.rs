//! The rows that belong to payments, of whatever service.

use std::collections::{BTreeSet, HashMap};

use artel_client::Call;
use artel_proto::Entity;
use artel_proto::billing::{Payment, Receipt, Refund};
use artel_proto::bonus::{BonusAccount, BonusEntry, BonusHold};
use artel_proto::notify::{Notification, Preferences, Push, Sms};
use artel_proto::order::Order;
use artel_proto::persist::MeasureKind;
use artel_proto::robotics::{CookingJob, Reservation};
use artel_repo::{Filter, Measure, Query, Repo};
use artel_util::Error;

/// Rows of a page.
const PAGE: i32 = 1000;

/// A payment and all that there is of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub payment: Payment,
    pub order: Option<Order>,
    pub reservation: Option<Reservation>,
    pub hold: Option<BonusHold>,
    pub receipts: Vec<Receipt>,
    pub refunds: Vec<Refund>,
    pub jobs: Vec<CookingJob>,
    pub notifications: Vec<Notification>,
    pub sms: Vec<Sms>,
    pub pushes: Vec<Push>,
    /// Whether the guest wants messages inside the application.
    pub in_app: bool,
}

pub(super) async fn gather(repo: &Repo, call: &Call, payments: Vec<Payment>) -> Result<Vec<Seen>, Error> {
    if payments.is_empty() {
        return Ok(Vec::new());
    }
    let ids = distinct(payments.iter().map(|payment| &payment.id));
    let orders = distinct(payments.iter().map(|payment| &payment.order_id));
    let users = distinct(payments.iter().map(|payment| &payment.user_id));
    let of_orders = |field: &str| Query::new().filter(Filter::one_of(field, orders.clone()));
    let of_payments = || Query::new().filter(Filter::one_of("payment_id", ids.clone()));
    let (rows, reservations, holds, preferences) = tokio::try_join!(
        repo.get_many::<Order>(call, orders.clone()),
        repo.get_many::<Reservation>(call, ids.clone()),
        repo.get_many::<BonusHold>(call, ids.clone()),
        repo.get_many::<Preferences>(call, users),
    )?;
    let (receipts, refunds, jobs) = tokio::try_join!(
        all::<Receipt>(repo, call, of_payments()),
        all::<Refund>(repo, call, of_payments()),
        all::<CookingJob>(repo, call, of_orders("order_id")),
    )?;
    let (notifications, sms, pushes) = tokio::try_join!(
        all::<Notification>(repo, call, of_orders("subject_id")),
        all::<Sms>(repo, call, of_orders("subject_id")),
        all::<Push>(repo, call, of_orders("subject_id")),
    )?;
    let (rows, reservations, holds) = (by_id(rows), by_id(reservations), by_id(holds));
    let preferences = by_id(preferences);
    let receipts = grouped(receipts, |receipt| receipt.payment_id.clone());
    let refunds = grouped(refunds, |refund| refund.payment_id.clone());
    let jobs = grouped(jobs, |job| job.order_id.clone());
    let notifications = grouped(notifications, |row| row.subject_id.clone());
    let (sms, pushes) =
        (grouped(sms, |row| row.subject_id.clone()), grouped(pushes, |row| row.subject_id.clone()));
    let seen = payments.into_iter().map(|payment| Seen {
        order: rows.get(&payment.order_id).cloned(),
        reservation: reservations.get(&payment.id).cloned(),
        hold: holds.get(&payment.id).cloned(),
        receipts: receipts.get(&payment.id).cloned().unwrap_or_default(),
        refunds: refunds.get(&payment.id).cloned().unwrap_or_default(),
        jobs: jobs.get(&payment.order_id).cloned().unwrap_or_default(),
        notifications: notifications.get(&payment.order_id).cloned().unwrap_or_default(),
        sms: sms.get(&payment.order_id).cloned().unwrap_or_default(),
        pushes: pushes.get(&payment.order_id).cloned().unwrap_or_default(),
        in_app: preferences.get(&payment.user_id).is_none_or(|preferences| preferences.in_app),
        payment,
    });
    Ok(seen.collect())
}

/// The users of these payments whose points are not what their entries add up to.
pub(super) async fn points_of(repo: &Repo, call: &Call, payments: &[Payment]) -> Result<Vec<String>, Error> {
    let users = distinct(payments.iter().map(|payment| &payment.user_id));
    if users.is_empty() {
        return Ok(users);
    }
    let before = by_id(repo.get_many::<BonusAccount>(call, users.clone()).await?);
    let entries = Query::new().filter(Filter::one_of("user_id", users.clone()));
    let sum = Measure::of(MeasureKind::Sum, "amount");
    let limit = i32::try_from(users.len()).unwrap_or(i32::MAX);
    let sums = repo.aggregate::<BonusEntry>(call, entries, &["user_id"], [sum], limit).await?;
    let sums: HashMap<_, _> = sums.iter().map(|group| (group.text(0).to_owned(), group.number(0))).collect();
    let after = by_id(repo.get_many::<BonusAccount>(call, users.clone()).await?);
    let wrong = users.into_iter().filter(|user| {
        let (one, other) = (before.get(user), after.get(user));
        // An account that changed meanwhile is looked at the next time.
        if one.map(|account| account.version) != other.map(|account| account.version) {
            return false;
        }
        let has = one.map_or(0, |account| account.balance + account.held - account.owed);
        has != sums.get(user).copied().unwrap_or_default()
    });
    Ok(wrong.collect())
}

/// Every page of it.
async fn all<T: Entity>(repo: &Repo, call: &Call, query: Query) -> Result<Vec<T>, Error> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = repo.query::<T>(call, query.clone().page(PAGE, token)).await?;
        found.extend(page.items);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(found);
        }
    }
}

fn distinct<'a>(ids: impl Iterator<Item = &'a String>) -> Vec<String> {
    ids.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn by_id<T: Entity>(rows: Vec<T>) -> HashMap<String, T> {
    rows.into_iter().map(|row| (row.id().to_owned(), row)).collect()
}

fn grouped<T>(rows: Vec<T>, key: impl Fn(&T) -> String) -> HashMap<String, Vec<T>> {
    let mut groups: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        groups.entry(key(&row)).or_default().push(row);
    }
    groups
}
