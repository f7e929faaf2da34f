//! The way of an order of dishes, pure: who may take it for a payment, what a payment does to it, and how it goes from
//! the kitchen to its guest. It only ever goes forward, whatever order the news come in.

use artel_proto::Timestamp;
use artel_proto::order::{Order, OrderStatus};

use crate::error::Refusal;

/// What a claim comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The order is free: it is taken now.
    Take,
    /// It is this payment's already.
    Held,
}

/// What letting go comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// The order is this payment's: it is let go.
    LetGo,
    /// It never was: the payment must not get it later.
    Forestall,
}

/// What became of an order in the kitchen and after.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// Cooking began.
    Preparing { start: Timestamp },
    /// It is cooked. Says again when cooking began, since that news may be late.
    Ready { start: Option<Timestamp>, ready: Timestamp },
    /// Its guest has it.
    HandedOver { time: Timestamp },
    /// So much of it was given back. Refunds add up: who commits this sees to it that each is heard once.
    Refunded { amount_minor: i64, time: Timestamp },
}

/// An order after the news.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Advanced {
    pub(super) order: Order,
    /// What of it changed.
    pub(super) fields: &'static [&'static str],
    /// True where it is farther than before: what follows from that follows now.
    pub(super) moved: bool,
    /// True where it moved on the board, or left it.
    pub(super) on_board: bool,
}

/// Whether a payment may take the order; `released` where it had let it go.
pub(super) fn claim(order: &Order, payment_id: &str, released: bool) -> Result<Claim, Refusal> {
    if is_of(order, payment_id) {
        return Ok(Claim::Held);
    }
    if released {
        return Err(Refusal::ClaimReleased);
    }
    match order.status() {
        OrderStatus::Placed => Ok(Claim::Take),
        status => Err(taken(status)),
    }
}

/// What it means that a payment lets the order go.
pub(super) fn release(order: &Order, payment_id: &str) -> Result<Release, Refusal> {
    match order.status() {
        _ if !is_of(order, payment_id) => Ok(Release::Forestall),
        OrderStatus::Paying => Ok(Release::LetGo),
        _ => Err(Refusal::Paid),
    }
}

/// The order as it is paid by the payment; `None` where it is already.
pub(super) fn paid(
    order: &Order,
    payment_id: &str,
    bonus_minor: i64,
    time: Timestamp,
) -> Result<Option<Order>, Refusal> {
    if !is_of(order, payment_id) {
        return Err(match order.status() {
            OrderStatus::Placed => Refusal::NotClaimed,
            status => taken(status),
        });
    }
    if order.status() != OrderStatus::Paying {
        return Ok(None);
    }
    let most = order.total.as_ref().map_or(0, |total| total.amount_minor);
    if bonus_minor > most {
        return Err(Refusal::BonusTooMuch { most });
    }
    let mut order = order.clone();
    order.set_status(OrderStatus::Paid);
    (order.bonus_minor, order.pay_time, order.expire_time) = (bonus_minor, Some(time), None);
    Ok(Some(order))
}

/// Whether the order may be cancelled; false where it is already.
pub(crate) fn may_cancel(order: &Order) -> Result<bool, Refusal> {
    match order.status() {
        OrderStatus::Cancelled => Ok(false),
        OrderStatus::Placed => Ok(true),
        status => Err(taken(status)),
    }
}

/// The order after the news; `None` where it is as far or farther, or was never paid.
pub(super) fn advance(order: &Order, news: &News) -> Option<Advanced> {
    use OrderStatus::{HandedOver, Paid, Preparing, Ready, Refunded};
    let before = order.status();
    let mut order = order.clone();
    let fields: &[&str] = match (before, news) {
        (Paid, News::Preparing { start }) => {
            order.set_status(Preparing);
            order.start_time = Some(*start);
            &["status", "start_time"]
        }
        (Paid | Preparing, News::Ready { start, ready }) => {
            order.set_status(Ready);
            order.start_time = order.start_time.or(*start);
            order.ready_time = Some(*ready);
            &["status", "start_time", "ready_time"]
        }
        (Ready, News::HandedOver { time }) => {
            order.set_status(HandedOver);
            order.hand_over_time = Some(*time);
            &["status", "hand_over_time"]
        }
        (Paid | Preparing | Ready | HandedOver, News::Refunded { amount_minor, time }) => {
            order.refunded_minor = order.refunded_minor.saturating_add(*amount_minor);
            let all = order.refunded_minor >= order.total.as_ref().map_or(0, |total| total.amount_minor);
            if all && before != HandedOver {
                order.set_status(Refunded);
                order.cancel_time = Some(*time);
            }
            &["status", "cancel_time", "refunded_minor"]
        }
        _ => return None,
    };
    let shown = |status| matches!(status, Preparing | Ready);
    let moved = before != order.status();
    let on_board = moved && (shown(before) || shown(order.status()));
    Some(Advanced { order, fields, moved, on_board })
}

/// True for an order of dishes.
pub(crate) fn is_dishes(order: &Order) -> bool {
    order.board_number > 0
}

fn is_of(order: &Order, payment_id: &str) -> bool {
    order.payment_id.eq_ignore_ascii_case(payment_id)
}

/// Why an order in this state cannot be taken.
fn taken(status: OrderStatus) -> Refusal {
    match status {
        OrderStatus::Paying => Refusal::BeingPaid,
        OrderStatus::Cancelled => Refusal::Cancelled,
        _ => Refusal::Paid,
    }
}

#[cfg(test)]
mod tests {
    use artel_proto::types::Money;
    use proptest::prelude::*;

    use super::*;

    const EVERY: [OrderStatus; 8] = [
        OrderStatus::Placed,
        OrderStatus::Cancelled,
        OrderStatus::Paying,
        OrderStatus::Paid,
        OrderStatus::Preparing,
        OrderStatus::Ready,
        OrderStatus::HandedOver,
        OrderStatus::Refunded,
    ];

    fn order(status: OrderStatus, payment_id: &str) -> Order {
        Order {
            status: status.into(),
            payment_id: payment_id.into(),
            board_number: 7,
            total: Some(Money { amount_minor: 1_000, currency: "KZT".into() }),
            ..Order::default()
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn a_payment_takes_what_is_free_and_keeps_what_it_has() {
        use OrderStatus::{Cancelled, Paying, Placed};
        assert_eq!(claim(&order(Placed, ""), "p", false), Ok(Claim::Take));
        assert_eq!(claim(&order(Placed, ""), "p", true), Err(Refusal::ClaimReleased));
        assert_eq!(claim(&order(Paying, "q"), "p", true), Err(Refusal::ClaimReleased));
        for status in EVERY.into_iter().filter(|status| !matches!(status, Placed | Cancelled)) {
            assert_eq!(claim(&order(status, "p"), "P", false), Ok(Claim::Held), "{status:?}");
            let refused = if status == Paying { Refusal::BeingPaid } else { Refusal::Paid };
            assert_eq!(claim(&order(status, "q"), "p", false), Err(refused.clone()), "{status:?}");
            assert_eq!(may_cancel(&order(status, "q")), Err(refused), "{status:?}");
        }
        assert_eq!(claim(&order(Cancelled, ""), "p", false), Err(Refusal::Cancelled));
        assert_eq!(may_cancel(&order(Cancelled, "")), Ok(false));
        assert_eq!(may_cancel(&order(Placed, "")), Ok(true));
    }

    #[test]
    fn what_is_paid_is_not_let_go_and_what_is_anothers_stays_his() {
        for status in EVERY {
            assert_eq!(release(&order(status, "q"), "p"), Ok(Release::Forestall), "{status:?}");
        }
        assert_eq!(release(&order(OrderStatus::Paying, "p"), "p"), Ok(Release::LetGo));
        assert_eq!(release(&order(OrderStatus::Ready, "p"), "p"), Err(Refusal::Paid));
    }

    #[test]
    fn an_order_is_paid_once_and_by_the_payment_that_took_it() {
        let pay = |status, own: &str, bonus| paid(&order(status, own), "p", bonus, at(5));
        let now = pay(OrderStatus::Paying, "p", 1_000).unwrap().unwrap();
        assert_eq!((now.status(), now.bonus_minor, now.pay_time), (OrderStatus::Paid, 1_000, Some(at(5))));
        assert_eq!(pay(OrderStatus::Paying, "p", 1_001), Err(Refusal::BonusTooMuch { most: 1_000 }));
        assert_eq!(pay(OrderStatus::HandedOver, "p", 0), Ok(None));
        assert_eq!(pay(OrderStatus::Placed, "", 0), Err(Refusal::NotClaimed));
        assert_eq!(pay(OrderStatus::Paying, "q", 0), Err(Refusal::BeingPaid));
        assert_eq!(pay(OrderStatus::Paid, "q", 0), Err(Refusal::Paid));
        assert_eq!(pay(OrderStatus::Cancelled, "", 0), Err(Refusal::Cancelled));
    }

    #[test]
    fn nothing_is_cooked_that_was_not_paid() {
        let news = [
            News::Preparing { start: at(1) },
            News::Ready { start: None, ready: at(2) },
            News::HandedOver { time: at(3) },
            News::Refunded { amount_minor: 1_000, time: at(4) },
        ];
        for status in [OrderStatus::Placed, OrderStatus::Paying, OrderStatus::Cancelled] {
            assert!(news.iter().all(|news| advance(&order(status, "p"), news).is_none()), "{status:?}");
        }
        // Given back before the kitchen began: no board ever showed it.
        assert!(!advance(&order(OrderStatus::Paid, "p"), &news[3]).unwrap().on_board);
    }

    fn rank(order: &Order) -> i32 {
        order.status().into()
    }

    proptest! {
        #[test]
        fn an_order_only_goes_forward_whatever_order_the_news_come_in(said in prop::collection::vec(0_usize..4, 0..20)) {
            let mut now = order(OrderStatus::Paid, "p");
            for index in said {
                let news = [
                    News::Preparing { start: at(1) },
                    News::Ready { start: Some(at(1)), ready: at(2) },
                    News::HandedOver { time: at(3) },
                    News::Refunded { amount_minor: 400, time: at(4) },
                ][index].clone();
                let Some(next) = advance(&now, &news) else { continue };
                let refund = matches!(news, News::Refunded { .. });
                prop_assert!(rank(&next.order) > rank(&now) || refund && rank(&next.order) == rank(&now));
                // Whichever way it got there, a cooked order says when cooking began.
                prop_assert!(next.order.ready_time.is_none() || next.order.start_time == Some(at(1)));
                // Once is enough.
                prop_assert!(refund || advance(&next.order, &news).is_none());
                // What is wholly given back is not cooked any further.
                let all = next.order.refunded_minor >= 1_000;
                prop_assert!(!all || next.order.status() >= OrderStatus::HandedOver);
                prop_assert!(next.on_board || next.order.status() == now.status() || now.status() == OrderStatus::Paid);
                now = next.order;
            }
        }
    }
}
