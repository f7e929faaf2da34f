//! The invariants, pure: what of a payment and its rows breaks them.

use std::collections::BTreeMap;

use artel_proto::billing::{PaymentStatus, ReceiptKind, RefundStatus};
use artel_proto::bonus::BonusHoldStatus;
use artel_proto::order::OrderStatus;
use artel_proto::robotics::ReservationStatus;

use super::gather::Seen;

const CAPTURED: &str = "captured_is_paid_or_refunded";
const FAILED: &str = "failed_leaves_nothing";
const RECEIPT: &str = "paid_order_has_one_receipt";
const COOKED: &str = "paid_order_has_one_cooking_job";
const TOLD: &str = "paid_order_is_told_once_a_channel";
const MONEY: &str = "money_adds_up";
/// Also of guests, whose points are their entries' sum.
pub(super) const POINTS: &str = "points_add_up";

/// Every invariant there is.
pub(super) const NAMES: [&str; 7] = [CAPTURED, FAILED, RECEIPT, COOKED, TOLD, MONEY, POINTS];

/// The event that a paid order is told by.
const PAID: &str = "order.paid";

/// An invariant, and whether it holds.
type Check = (&'static str, fn(&Seen) -> bool);

/// The invariants that this payment breaks.
pub(super) fn broken(seen: &Seen) -> Vec<&'static str> {
    let payment = &seen.payment;
    let checks: &[Check] = match payment.status() {
        PaymentStatus::Captured | PaymentStatus::Completed => &[
            (CAPTURED, is_paid),
            (RECEIPT, has_receipt),
            (COOKED, is_cooked),
            (TOLD, is_told),
            (MONEY, money_adds_up),
            (POINTS, points_add_up),
        ],
        PaymentStatus::Failed => &[(FAILED, leaves_nothing)],
        _ => &[],
    };
    checks.iter().filter(|(_, holds)| !holds(seen)).map(|(name, _)| *name).collect()
}

/// It has paid for its order, and no other payment has.
fn is_paid(seen: &Seen) -> bool {
    let paid = |status| {
        matches!(
            status,
            OrderStatus::Paid
                | OrderStatus::Preparing
                | OrderStatus::Ready
                | OrderStatus::HandedOver
                | OrderStatus::Refunded
        )
    };
    seen.payment.status() == PaymentStatus::Completed
        && seen.order.as_ref().is_some_and(|order| {
            order.payment_id == seen.payment.id
                && paid(order.status())
                && order.bonus_minor == seen.payment.bonus_minor
        })
}

/// What failed holds nothing: no order, no ingredients, no points.
fn leaves_nothing(seen: &Seen) -> bool {
    let order = seen.order.as_ref().is_none_or(|order| order.payment_id != seen.payment.id);
    let kitchen = seen
        .reservation
        .as_ref()
        .is_none_or(|reservation| reservation.status() == ReservationStatus::Released);
    let points = seen.hold.as_ref().is_none_or(|hold| hold.status() == BonusHoldStatus::Released);
    order && kitchen && points && seen.receipts.is_empty()
}

fn has_receipt(seen: &Seen) -> bool {
    let sales = seen.receipts.iter().filter(|receipt| receipt.kind() == ReceiptKind::Sell);
    sales.map(|receipt| receipt.amount_minor).eq([seen.payment.amount_minor])
}

fn is_cooked(seen: &Seen) -> bool {
    seen.jobs.len() == 1 && seen.jobs[0].payment_id == seen.payment.id
}

fn is_told(seen: &Seen) -> bool {
    let in_app = seen.notifications.iter().filter(|row| row.event_type == PAID).count();
    let sms = seen.sms.iter().filter(|row| row.event_type == PAID).count();
    let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
    for push in seen.pushes.iter().filter(|row| row.event_type == PAID) {
        *devices.entry(&push.device_id).or_default() += 1;
    }
    let told = if seen.in_app { in_app == 1 } else { in_app == 0 };
    told && sms <= 1 && devices.values().all(|pushes| *pushes == 1)
}

fn money_adds_up(seen: &Seen) -> bool {
    let payment = &seen.payment;
    let standing = seen.refunds.iter().filter(|refund| refund.status() != RefundStatus::Failed);
    let (mut given, mut card, mut bonus) = (0, 0, 0);
    for refund in standing {
        if refund.bonus_minor + refund.card_minor != refund.amount_minor {
            return false;
        }
        given += refund.amount_minor;
        card += refund.card_minor;
        bonus += refund.bonus_minor;
    }
    let refunds = seen.refunds.iter().filter(|refund| refund.status() == RefundStatus::Completed);
    let receipts = seen.receipts.iter().filter(|receipt| receipt.kind() == ReceiptKind::SellRefund);
    payment.bonus_minor + payment.card_minor == payment.amount_minor
        && payment.refunded_minor == given
        && card <= payment.card_minor
        && bonus <= payment.bonus_minor
        && refunds.map(|refund| refund.amount_minor).sum::<i64>()
            == receipts.map(|receipt| receipt.amount_minor).sum::<i64>()
}

fn points_add_up(seen: &Seen) -> bool {
    let returned: i64 = seen
        .refunds
        .iter()
        .filter(|refund| refund.status() == RefundStatus::Completed)
        .map(|refund| refund.bonus_minor)
        .sum();
    match &seen.hold {
        None => seen.payment.bonus_minor == 0,
        Some(hold) => {
            hold.status() == BonusHoldStatus::Spent
                && hold.amount == seen.payment.bonus_minor
                && hold.returned >= returned
        }
    }
}

#[cfg(test)]
mod tests {
    use artel_proto::billing::{Payment, Receipt, Refund};
    use artel_proto::bonus::BonusHold;
    use artel_proto::notify::{Notification, Push, Sms};
    use artel_proto::order::Order;
    use artel_proto::robotics::{CookingJob, Reservation};

    use super::*;

    /// Breaks what is named.
    type Break = (&'static str, fn(&mut Seen));

    fn paid() -> Seen {
        let payment = Payment {
            id: "p".into(),
            order_id: "o".into(),
            status: PaymentStatus::Completed.into(),
            amount_minor: 100,
            bonus_minor: 30,
            card_minor: 70,
            refunded_minor: 10,
            ..Payment::default()
        };
        let refund = Refund {
            status: RefundStatus::Completed.into(),
            amount_minor: 10,
            bonus_minor: 3,
            card_minor: 7,
            ..Refund::default()
        };
        let receipt = |kind: ReceiptKind, amount_minor| Receipt {
            kind: kind.into(),
            amount_minor,
            ..Receipt::default()
        };
        Seen {
            order: Some(Order {
                payment_id: "p".into(),
                status: OrderStatus::Ready.into(),
                bonus_minor: 30,
                ..Order::default()
            }),
            hold: Some(BonusHold {
                status: BonusHoldStatus::Spent.into(),
                amount: 30,
                returned: 3,
                ..BonusHold::default()
            }),
            receipts: vec![receipt(ReceiptKind::Sell, 100), receipt(ReceiptKind::SellRefund, 10)],
            refunds: vec![refund],
            jobs: vec![CookingJob { payment_id: "p".into(), ..CookingJob::default() }],
            notifications: vec![Notification { event_type: PAID.into(), ..Notification::default() }],
            sms: vec![Sms { event_type: PAID.into(), ..Sms::default() }],
            pushes: vec![Push { event_type: PAID.into(), device_id: "d".into(), ..Push::default() }],
            in_app: true,
            payment,
            ..Seen::default()
        }
    }

    #[test]
    fn nothing_is_broken_where_all_is_well() {
        assert_eq!(broken(&paid()), Vec::<&str>::new());
    }

    #[test]
    fn each_invariant_is_broken_by_what_it_is_about() {
        let wrong: [Break; 16] = [
            (CAPTURED, |seen| seen.payment.set_status(PaymentStatus::Captured)),
            (CAPTURED, |seen| seen.order.as_mut().unwrap().payment_id = "q".into()),
            (CAPTURED, |seen| seen.order.as_mut().unwrap().set_status(OrderStatus::Cancelled)),
            (RECEIPT, |seen| drop(seen.receipts.remove(0))),
            (RECEIPT, |seen| seen.receipts.push(seen.receipts[0].clone())),
            (COOKED, |seen| seen.jobs.clear()),
            (COOKED, |seen| seen.jobs.push(seen.jobs[0].clone())),
            (TOLD, |seen| seen.notifications.clear()),
            (TOLD, |seen| seen.sms.push(seen.sms[0].clone())),
            (TOLD, |seen| seen.pushes.push(seen.pushes[0].clone())),
            (MONEY, |seen| seen.payment.refunded_minor = 11),
            (MONEY, |seen| seen.payment.card_minor = 71),
            (MONEY, |seen| drop(seen.receipts.remove(1))),
            (POINTS, |seen| seen.hold.as_mut().unwrap().amount = 31),
            (POINTS, |seen| seen.hold.as_mut().unwrap().returned = 2),
            (POINTS, |seen| seen.hold.as_mut().unwrap().set_status(BonusHoldStatus::Held)),
        ];
        for (name, break_it) in wrong {
            let mut seen = paid();
            break_it(&mut seen);
            assert_eq!(broken(&seen), [name]);
        }
    }

    #[test]
    fn what_failed_must_hold_nothing() {
        let failed = Seen {
            payment: Payment { id: "p".into(), status: PaymentStatus::Failed.into(), ..Payment::default() },
            ..Seen::default()
        };
        assert_eq!(broken(&failed), Vec::<&str>::new());
        let wrong: [fn(&mut Seen); 4] = [
            |seen| seen.order = Some(Order { payment_id: "p".into(), ..Order::default() }),
            |seen| {
                let status = ReservationStatus::Held.into();
                seen.reservation = Some(Reservation { status, ..Reservation::default() });
            },
            |seen| {
                seen.hold = Some(BonusHold { status: BonusHoldStatus::Held.into(), ..BonusHold::default() });
            },
            |seen| seen.receipts.push(Receipt::default()),
        ];
        for break_it in wrong {
            let mut seen = failed.clone();
            break_it(&mut seen);
            assert_eq!(broken(&seen), [FAILED]);
        }
    }
}
