//! A report from the rows, pure: rows go in one by one, in any order.

use std::collections::{BTreeMap, HashMap};

use artel_proto::statistics::{DishNumbers, HourNumbers, Numbers, OrderFact, Report};
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, DurationRound as _, FixedOffset, TimeDelta, Utc};

/// Most dishes of a report.
const DISHES: usize = 1_000;

/// Counts a period by the restaurant's clock.
pub(crate) struct Counter {
    clock: FixedOffset,
    /// That of the first order; those in another are left out.
    currency: String,
    left_out: u64,
    total: Sums,
    hours: BTreeMap<DateTime<Utc>, Sums>,
    dishes: HashMap<String, DishSums>,
}

#[derive(Default)]
struct Sums {
    placed: i64,
    orders: i64,
    amount: i128,
    refunded: i128,
    bonus: i128,
    refunded_bonus: i128,
    preparations: Vec<i64>,
}

#[derive(Default)]
struct DishSums {
    name: String,
    /// When the order was paid that calls it so: the latest name is shown.
    named: Option<DateTime<Utc>>,
    quantity: i64,
    amount: i128,
    preparations: Vec<i64>,
}

impl Counter {
    pub(crate) fn new(clock: FixedOffset) -> Self {
        Self {
            clock,
            currency: String::new(),
            left_out: 0,
            total: Sums::default(),
            hours: BTreeMap::new(),
            dishes: HashMap::new(),
        }
    }

    /// An order that was placed in the period.
    pub(crate) fn placed(&mut self, fact: &OrderFact) {
        let Some(time) = fact.place_time.as_ref().and_then(to_chrono) else { return };
        self.total.placed += 1;
        self.hour(time).placed += 1;
    }

    /// An order that was paid in the period.
    pub(crate) fn paid(&mut self, fact: &OrderFact) {
        let Some(time) = fact.pay_time.as_ref().and_then(to_chrono) else { return };
        if self.currency.is_empty() {
            self.currency.clone_from(&fact.currency);
        }
        if self.currency != fact.currency {
            self.left_out += 1;
            return;
        }
        let preparation = preparation(fact);
        self.total.add(fact, preparation);
        self.hour(time).add(fact, preparation);
        for dish in &fact.dishes {
            let sums = self.dishes.entry(dish.dish_id.clone()).or_default();
            if sums.named.is_none_or(|named| named <= time) {
                sums.named = Some(time);
                sums.name.clone_from(&dish.name);
            }
            sums.quantity += i64::from(dish.quantity);
            sums.amount += i128::from(dish.amount_minor);
            sums.preparations.extend(preparation);
        }
    }

    /// The report, and how many orders are not in it because they are in another currency.
    pub(crate) fn report(self, start: DateTime<Utc>, end: DateTime<Utc>) -> (Report, u64) {
        let hour = |(start, sums): (DateTime<Utc>, Sums)| HourNumbers {
            start_time: Some(from_chrono(start)),
            numbers: Some(sums.numbers()),
        };
        let mut dishes: Vec<DishNumbers> =
            self.dishes.into_iter().map(|(dish_id, sums)| sums.numbers(dish_id)).collect();
        dishes.sort_unstable_by(|one, other| {
            other.amount_minor.cmp(&one.amount_minor).then_with(|| one.dish_id.cmp(&other.dish_id))
        });
        dishes.truncate(DISHES);
        let report = Report {
            start_time: Some(from_chrono(start)),
            end_time: Some(from_chrono(end)),
            total: Some(self.total.numbers()),
            hours: self.hours.into_iter().map(hour).collect(),
            dishes,
            currency: self.currency,
        };
        (report, self.left_out)
    }

    fn hour(&mut self, time: DateTime<Utc>) -> &mut Sums {
        self.hours.entry(hour(time, self.clock)).or_default()
    }
}

impl Sums {
    fn add(&mut self, fact: &OrderFact, preparation: Option<i64>) {
        self.orders += 1;
        self.amount += i128::from(fact.amount_minor);
        self.refunded += i128::from(fact.refunded_minor);
        self.bonus += i128::from(fact.bonus_minor);
        self.refunded_bonus += i128::from(fact.refunded_bonus_minor);
        self.preparations.extend(preparation);
    }

    fn numbers(mut self) -> Numbers {
        self.preparations.sort_unstable();
        Numbers {
            placed: self.placed,
            orders: self.orders,
            revenue_minor: fits(self.amount - self.refunded),
            average_bill_minor: average(self.amount, self.orders),
            bonus_minor: fits(self.bonus - self.refunded_bonus),
            refunded_minor: fits(self.refunded),
            preparation_p50_ms: percentile(&self.preparations, 50),
            preparation_p95_ms: percentile(&self.preparations, 95),
        }
    }
}

impl DishSums {
    fn numbers(mut self, dish_id: String) -> DishNumbers {
        self.preparations.sort_unstable();
        DishNumbers {
            dish_id,
            name: self.name,
            quantity: self.quantity,
            amount_minor: fits(self.amount),
            preparation_p50_ms: percentile(&self.preparations, 50),
            preparation_p95_ms: percentile(&self.preparations, 95),
        }
    }
}

/// The beginning of the day that the moment is in.
pub(crate) fn day(time: DateTime<Utc>, clock: FixedOffset) -> DateTime<Utc> {
    floor(time, clock, TimeDelta::days(1))
}

fn hour(time: DateTime<Utc>, clock: FixedOffset) -> DateTime<Utc> {
    floor(time, clock, TimeDelta::hours(1))
}

fn floor(time: DateTime<Utc>, clock: FixedOffset, span: TimeDelta) -> DateTime<Utc> {
    // Rounds by the clock's own reading; fails outside of what nanoseconds reach, in 2262.
    time.with_timezone(&clock).duration_trunc(span).map_or(time, |time| time.to_utc())
}

/// How long the order was cooked, in milliseconds.
fn preparation(fact: &OrderFact) -> Option<i64> {
    let (start, ready) = (to_chrono(fact.start_time.as_ref()?)?, to_chrono(fact.ready_time.as_ref()?)?);
    Some((ready - start).num_milliseconds().max(0))
}

/// The least of the sorted values that so many of a hundred do not exceed; 0 of none.
fn percentile(sorted: &[i64], percent: usize) -> i64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied().unwrap_or(0)
}

/// Rounded half up.
fn average(sum: i128, count: i64) -> i64 {
    let count = i128::from(count);
    if count == 0 { 0 } else { fits((sum * 2 + count).div_euclid(count * 2)) }
}

fn fits(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_and_hours_begin_by_the_restaurants_clock() {
        let time: DateTime<Utc> = "2026-03-01T20:47:00Z".parse().unwrap();
        let at = |offset: &str| offset.parse::<FixedOffset>().unwrap();
        assert_eq!(day(time, at("+05:00")).to_rfc3339(), "2026-03-01T19:00:00+00:00");
        assert_eq!(day(time, at("-03:00")).to_rfc3339(), "2026-03-01T03:00:00+00:00");
        assert_eq!(hour(time, at("+05:30")).to_rfc3339(), "2026-03-01T20:30:00+00:00");
        assert_eq!(hour(time, at("+05:00")).to_rfc3339(), "2026-03-01T20:00:00+00:00");
    }

    #[test]
    fn averages_are_rounded_half_up_and_of_nothing_is_nothing() {
        assert_eq!([average(5, 2), average(4, 3), average(5, 3), average(0, 0)], [3, 1, 2, 0]);
        assert_eq!(percentile(&[], 50), 0);
        assert_eq!(
            [percentile(&[7], 50), percentile(&[1, 2, 3, 4], 50), percentile(&[1, 2, 3, 4], 95)],
            [7, 2, 4]
        );
    }

    proptest! {
        #[test]
        fn so_many_of_a_hundred_are_at_most_the_percentile(
            mut values in prop::collection::vec(0_i64..1_000, 1..200),
            percent in 1_usize..=100,
        ) {
            values.sort_unstable();
            let at = percentile(&values, percent);
            let share = |bound: i64| values.iter().filter(|value| **value <= bound).count() * 100;
            prop_assert!(share(at) >= percent * values.len());
            // And no lesser value will do.
            prop_assert!(share(at - 1) < percent * values.len());
        }
    }
}
