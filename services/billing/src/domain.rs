//! The sums of payments, refunds and receipts, pure and exact.

use artel_proto::billing::{Payment, Receipt, ReceiptKind, ReceiptLine, ReceiptStatus, Refund, RefundStatus};
use artel_proto::order::Order;
use artel_util::now;

use crate::error::Refusal;

/// A sum in two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub bonus_minor: i64,
    pub card_minor: i64,
}

/// What of an order is paid with points and what by card.
pub(crate) fn split(amount_minor: i64, bonus_minor: i64, has_card: bool) -> Result<Parts, Refusal> {
    if amount_minor <= 0 {
        return Err(Refusal::NoPrice);
    }
    if bonus_minor > amount_minor {
        return Err(Refusal::BonusTooMuch { asked: bonus_minor, most: amount_minor });
    }
    let card_minor = amount_minor - bonus_minor;
    if card_minor > 0 && !has_card {
        return Err(Refusal::NoCard { card_minor });
    }
    Ok(Parts { bonus_minor, card_minor })
}

/// How much is given back: what was asked for, or all that is left where that is 0.
pub(crate) fn refundable(payment: &Payment, asked: i64) -> Result<i64, Refusal> {
    let left = payment.amount_minor - payment.refunded_minor;
    let amount = if asked == 0 { left } else { asked };
    if amount <= 0 || amount > left {
        return Err(Refusal::RefundTooMuch { asked: amount, left });
    }
    Ok(amount)
}

/// What of a refund goes back as points and what to the card. Points go back in proportion to what has been given back in
/// all, rounded down, so that the parts of any refunds that make up the whole payment add up to its parts exactly.
/// `others` are the payment's refunds that were not refused, those under way included.
pub(crate) fn proportion(payment: &Payment, others: &[Refund], amount_minor: i64) -> Parts {
    let given: i64 = others.iter().map(|refund| refund.bonus_minor).sum();
    let before: i64 = others.iter().map(|refund| refund.amount_minor).sum();
    let total = i128::from(before) + i128::from(amount_minor);
    let due = total * i128::from(payment.bonus_minor) / i128::from(payment.amount_minor.max(1));
    // A refund that was refused may leave more given as points than is due by now: none then.
    let bonus_minor = i64::try_from(due - i128::from(given)).unwrap_or_default().clamp(0, amount_minor);
    Parts { bonus_minor, card_minor: amount_minor - bonus_minor }
}

/// The refunds that count: what was refused does not.
pub(crate) fn standing(refunds: impl IntoIterator<Item = Refund>) -> Vec<Refund> {
    refunds.into_iter().filter(|refund| refund.status() != RefundStatus::Failed).collect()
}

/// The receipt of a sale.
pub(crate) fn sale(payment: &Payment, order: &Order) -> Receipt {
    let lines = order.items.iter().map(|item| ReceiptLine {
        name: item.name.clone(),
        quantity: item.quantity,
        price_minor: item.price.as_ref().map_or(0, |price| price.amount_minor),
    });
    let mut receipt = Receipt {
        id: payment.id.clone(),
        payment_id: payment.id.clone(),
        amount_minor: payment.amount_minor,
        card_minor: payment.card_minor,
        bonus_minor: payment.bonus_minor,
        currency: payment.currency.clone(),
        lines: lines.collect(),
        next_time: Some(now()),
        ..Receipt::default()
    };
    receipt.set_kind(ReceiptKind::Sell);
    receipt.set_status(ReceiptStatus::Waiting);
    receipt
}

/// The receipt of a refund: of all that was sold where all goes back at once, else of one sum.
pub(crate) fn sale_back(payment: &Payment, order: &Order, refund: &Refund) -> Receipt {
    let mut receipt = sale(payment, order);
    if refund.amount_minor != payment.amount_minor {
        let name = format!("Возврат по заказу № {}", payment.board_number);
        receipt.lines = vec![ReceiptLine { name, quantity: 1, price_minor: refund.amount_minor }];
    }
    receipt.id.clone_from(&refund.id);
    receipt.amount_minor = refund.amount_minor;
    (receipt.card_minor, receipt.bonus_minor) = (refund.card_minor, refund.bonus_minor);
    receipt.set_kind(ReceiptKind::SellRefund);
    receipt
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payment(amount_minor: i64, bonus_minor: i64) -> Payment {
        Payment { amount_minor, bonus_minor, card_minor: amount_minor - bonus_minor, ..Payment::default() }
    }

    #[test]
    fn an_order_is_split_or_refused_by_field() {
        assert_eq!(split(100, 30, true), Ok(Parts { bonus_minor: 30, card_minor: 70 }));
        assert_eq!(split(100, 100, false), Ok(Parts { bonus_minor: 100, card_minor: 0 }));
        assert_eq!(split(100, 101, true), Err(Refusal::BonusTooMuch { asked: 101, most: 100 }));
        assert_eq!(split(100, 99, false), Err(Refusal::NoCard { card_minor: 1 }));
        assert_eq!(split(0, 0, true), Err(Refusal::NoPrice));
    }

    #[test]
    fn thirds_of_a_payment_give_its_parts_back_exactly() {
        let payment = payment(100, 50);
        let mut refunds: Vec<Refund> = Vec::new();
        for (amount, bonus) in [(33, 16), (33, 17), (34, 17)] {
            let parts = proportion(&payment, &refunds, amount);
            assert_eq!((parts.bonus_minor, parts.card_minor), (bonus, amount - bonus));
            refunds.push(Refund { amount_minor: amount, bonus_minor: bonus, ..Refund::default() });
        }
    }

    /// What a guest or a cashier does.
    #[derive(Debug, Clone)]
    enum Act {
        Pay { amount: i64, bonus: i64, fails: bool },
        Refund { percent: i64, refused: bool },
        Retry,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (1_i64..1_000_000_000, 0_i64..=100, prop::bool::weighted(0.2)).prop_map(
                |(amount, percent, fails)| Act::Pay { amount, bonus: amount * percent / 100, fails }
            ),
            (0_i64..=130, prop::bool::weighted(0.2))
                .prop_map(|(percent, refused)| Act::Refund { percent, refused }),
            Just(Act::Retry),
        ]
    }

    /// The guest's side: what the card and the points came to, counted apart from the payment's own fields.
    #[derive(Debug, Default, Clone, PartialEq)]
    struct Purse {
        card: i64,
        points: i64,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn money_and_points_add_up_whatever_is_paid_given_back_and_repeated(
            acts in prop::collection::vec(act(), 1..12),
        ) {
            let (mut purse, mut paid): (Purse, Option<Payment>) = (Purse::default(), None);
            let mut refunds: Vec<Refund> = Vec::new();
            let mut given = Purse::default();
            for act in acts {
                match act {
                    Act::Pay { amount, bonus, fails } if paid.is_none() => {
                        let parts = split(amount, bonus, true).unwrap();
                        prop_assert_eq!(parts.bonus_minor + parts.card_minor, amount);
                        if !fails {
                            purse.card -= parts.card_minor;
                            purse.points -= parts.bonus_minor;
                            paid = Some(payment(amount, bonus));
                        }
                    }
                    Act::Refund { percent, refused } => {
                        let Some(payment) = &mut paid else { continue };
                        let asked = payment.amount_minor * percent / 100;
                        let left = payment.amount_minor - payment.refunded_minor;
                        let amount = match refundable(payment, asked) {
                            Ok(amount) => amount,
                            Err(refusal) => {
                                prop_assert!(asked > left || left == 0, "{:?}", refusal);
                                continue;
                            }
                        };
                        let parts = proportion(payment, &standing(refunds.clone()), amount);
                        prop_assert!(parts.bonus_minor >= 0 && parts.card_minor >= 0);
                        prop_assert_eq!(parts.bonus_minor + parts.card_minor, amount);
                        let mut refund = Refund {
                            amount_minor: amount,
                            bonus_minor: parts.bonus_minor,
                            card_minor: parts.card_minor,
                            ..Refund::default()
                        };
                        if refused {
                            refund.set_status(RefundStatus::Failed);
                        } else {
                            payment.refunded_minor += amount;
                            given.card += parts.card_minor;
                            given.points += parts.bonus_minor;
                        }
                        refunds.push(refund);
                    }
                    // The same key again: the same answer, and nothing moves.
                    Act::Pay { .. } | Act::Retry => {}
                }
                if let Some(payment) = &paid {
                    prop_assert!(payment.refunded_minor <= payment.amount_minor);
                    prop_assert!(given.card <= payment.card_minor && given.points <= payment.bonus_minor);
                    prop_assert_eq!(given.card + given.points, payment.refunded_minor);
                    if payment.refunded_minor == payment.amount_minor {
                        let back = Purse { card: purse.card + given.card, points: purse.points + given.points };
                        prop_assert_eq!(back, Purse::default());
                    }
                }
            }
        }
    }

    /// The negative control: parts of each refund alone, rounded down, lose points.
    #[test]
    fn parts_of_each_refund_alone_do_not_add_up() {
        let payment = payment(100, 50);
        let alone = |amount| proportion(&payment, &[], amount).bonus_minor;
        assert_eq!(alone(33) + alone(33) + alone(34), 49);
    }
}
