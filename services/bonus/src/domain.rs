//! The rules of points, pure: what is earned, what a refund takes back, and what comes into an account or goes out of it.

use artel_proto::bonus::BonusAccount;

/// What a change does to the numbers of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) owed: i64,
}

impl Move {
    /// Points that come in: what is owed is paid first.
    pub(crate) fn credit(account: &BonusAccount, amount: i64) -> Self {
        let paid = amount.min(account.owed);
        Self { balance: amount - paid, owed: -paid, held: 0 }
    }

    /// Points that are taken back: what is not there any more is owed.
    pub(crate) fn take_back(account: &BonusAccount, amount: i64) -> Self {
        let taken = amount.min(account.balance);
        Self { balance: -taken, owed: amount - taken, held: 0 }
    }

    /// Points that are set aside.
    pub(crate) fn hold(amount: i64) -> Self {
        Self { balance: -amount, held: amount, owed: 0 }
    }

    /// Points that were set aside and go.
    pub(crate) fn spend(amount: i64) -> Self {
        Self { held: -amount, ..Self::default() }
    }

    /// Points that were set aside and come back.
    pub(crate) fn release(account: &BonusAccount, amount: i64) -> Self {
        Self { held: -amount, ..Self::credit(account, amount) }
    }
}

/// What paying this much by card earns, in whole points.
pub(crate) fn earned(card_minor: i64, percent: u32) -> i64 {
    part(i128::from(card_minor.max(0)), i128::from(percent), 100)
}

/// What of the points that an order earned goes with the refund of `refunded` of its `total`, after `before` was refunded.
/// Refunds one after another take as much as one refund of all they come to.
pub(crate) fn reversed(earned: i64, total: i64, before: i64, refunded: i64) -> i64 {
    if total <= 0 {
        return 0;
    }
    let up_to = |amount: i64| part(earned.into(), amount.clamp(0, total).into(), total.into());
    up_to(before.saturating_add(refunded)) - up_to(before)
}

/// Rounded down; what is measured here is never negative and never more than the whole times a hundred.
fn part(whole: i128, share: i128, of: i128) -> i64 {
    i64::try_from(whole * share / of).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn points_are_earned_on_the_card_part_and_rounded_down() {
        assert_eq!([earned(0, 5), earned(19, 5), earned(20, 5), earned(199, 5)], [0, 0, 1, 9]);
        assert_eq!([earned(-100, 5), earned(1_000, 0), earned(1_000, 100)], [0, 0, 1_000]);
        assert_eq!(earned(i64::MAX, 100), i64::MAX);
    }

    #[test]
    fn what_was_spent_already_is_owed_and_what_comes_in_pays_for_it_first() {
        let account = BonusAccount { balance: 30, ..BonusAccount::default() };
        assert_eq!(Move::take_back(&account, 50), Move { balance: -30, owed: 20, held: 0 });
        let account = BonusAccount { owed: 20, ..BonusAccount::default() };
        assert_eq!(Move::credit(&account, 15), Move { balance: 0, owed: -15, held: 0 });
        assert_eq!(Move::credit(&account, 50), Move { balance: 30, owed: -20, held: 0 });
        assert_eq!(Move::release(&account, 25), Move { balance: 5, owed: -20, held: -25 });
    }

    #[derive(Debug, Clone)]
    enum Step {
        Credit(i64),
        TakeBack(i64),
        Hold(i64),
        Spend(usize),
        Release(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0_i64..1_000).prop_map(Step::Credit),
            (0_i64..1_000).prop_map(Step::TakeBack),
            (1_i64..1_000).prop_map(Step::Hold),
            any::<usize>().prop_map(Step::Spend),
            any::<usize>().prop_map(Step::Release),
        ]
    }

    proptest! {
        #[test]
        fn parts_of_a_refund_take_what_all_of_it_takes(
            earned in 0_i64..=i64::MAX, total in 1_i64..=i64::MAX, cuts in prop::collection::vec(any::<u64>(), 0..10),
        ) {
            let mut at: Vec<i64> = cuts.iter().map(|cut| (cut % total as u64) as i64).chain([0, total]).collect();
            at.sort_unstable();
            let parts = at.windows(2).map(|pair| reversed(earned, total, pair[0], pair[1] - pair[0]));
            let parts: Vec<i64> = parts.collect();
            prop_assert!(parts.iter().all(|part| *part >= 0));
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(earned));
        }

        #[test]
        fn entries_add_up_to_what_there_is(steps in prop::collection::vec(step(), 1..200)) {
            let (mut account, mut holds, mut entries) = (BonusAccount::default(), Vec::new(), 0_i64);
            for step in steps {
                let change = match step {
                    Step::Credit(amount) => { entries += amount; Move::credit(&account, amount) }
                    Step::TakeBack(amount) => { entries -= amount; Move::take_back(&account, amount) }
                    Step::Hold(amount) if amount <= account.balance => { holds.push(amount); Move::hold(amount) }
                    Step::Spend(index) if !holds.is_empty() => {
                        let amount = holds.swap_remove(index % holds.len());
                        entries -= amount;
                        Move::spend(amount)
                    }
                    Step::Release(index) if !holds.is_empty() => {
                        let amount = holds.swap_remove(index % holds.len());
                        Move::release(&account, amount)
                    }
                    _ => Move::default(),
                };
                account.balance += change.balance;
                account.held += change.held;
                account.owed += change.owed;
                prop_assert!(account.balance >= 0 && account.held >= 0 && account.owed >= 0, "{account:?}");
                prop_assert!(account.balance == 0 || account.owed == 0, "{account:?}");
                prop_assert_eq!(entries, account.balance + account.held - account.owed);
                prop_assert_eq!(holds.iter().sum::<i64>(), account.held);
            }
        }
    }
}
