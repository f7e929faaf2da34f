//! An evening as its orders are, the events that tell it, and its numbers counted the plain way.

use std::collections::{BTreeMap, BTreeSet};

use artel_handle::{Delivery, Listener as _};
use artel_proto::billing::{Payment, PaymentRefunded, Refund};
use artel_proto::order::{Order, OrderItem, OrderPaid, OrderPlaced};
use artel_proto::robotics::{OrderPreparing, OrderReady};
use artel_proto::statistics::{DishNumbers, HourNumbers, Numbers, Report};
use artel_proto::types::Money;
use artel_queue::Failure;
use artel_util::new_id;
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

use crate::facts::News;
use crate::listen::Clerk;

/// What is told.
#[derive(Debug, Clone)]
pub enum Told {
    Placed(OrderPlaced),
    Paid(OrderPaid),
    Preparing(OrderPreparing),
    Ready(OrderReady),
    Refunded(Box<PaymentRefunded>),
}

impl Told {
    pub async fn heard_by(self, clerk: &Clerk, delivery: &Delivery) -> Result<(), Failure> {
        match self {
            Self::Placed(event) => clerk.hear(delivery, event).await,
            Self::Paid(event) => clerk.hear(delivery, event).await,
            Self::Preparing(event) => clerk.hear(delivery, event).await,
            Self::Ready(event) => clerk.hear(delivery, event).await,
            Self::Refunded(event) => clerk.hear(delivery, *event).await,
        }
    }

    pub fn with(&self, take: impl FnOnce(News<'_>)) {
        take(match self {
            Self::Placed(event) => News::Placed(event.order.as_ref().unwrap()),
            Self::Paid(event) => {
                let order = event.order.as_ref().unwrap();
                News::Paid { order, time: order.pay_time.unwrap() }
            }
            Self::Preparing(event) => News::Preparing { start: event.start_time.unwrap() },
            Self::Ready(event) => News::Ready { start: event.start_time, ready: event.ready_time.unwrap() },
            Self::Refunded(event) => News::Refunded(event.refund.as_ref().unwrap()),
        });
    }
}

/// An order of the evening, as it was in the end.
struct Served {
    order: Order,
    refunds: Vec<Refund>,
}

pub struct Evening {
    served: Vec<Served>,
}

/// An order of these dishes.
pub fn order(dishes: &[(&str, i32, i64)]) -> Order {
    let money = |amount_minor| Some(Money { amount_minor, currency: "KZT".to_owned() });
    let item = |(dish, quantity, price): &(&str, i32, i64)| OrderItem {
        dish_id: (*dish).to_owned(),
        name: format!("Dish {dish}"),
        quantity: *quantity,
        price: money(*price),
        ..OrderItem::default()
    };
    let total = dishes.iter().map(|(_, quantity, price)| i64::from(*quantity) * price).sum();
    Order {
        number: format!("A-{}", &new_id()[24..]),
        items: dishes.iter().map(item).collect(),
        total: money(total),
        version: 1,
        ..Order::default()
    }
}

impl Evening {
    pub fn random(dice: &mut StdRng, begin: DateTime<Utc>, count: usize) -> Self {
        let dishes = ["laghman", "manty", "plov", "samsa", "tea"];
        let served = (0..count).map(|_| {
            let lines: Vec<(&str, i32, i64)> = (0..dice.random_range(1..4))
                .map(|_| {
                    let dish = dice.random_range(0..dishes.len());
                    (dishes[dish], dice.random_range(1..4), 10_007 * (dish as i64 + 1))
                })
                .collect();
            let placed = begin + TimeDelta::milliseconds(dice.random_range(0..4 * 3_600_000));
            let mut order = order(&lines);
            order.id = new_id();
            order.user_id = format!("guest {}", dice.next_u32() % 10);
            order.board_number = dice.random_range(1..=999);
            let later = |time: DateTime<Utc>, dice: &mut StdRng| {
                time + TimeDelta::milliseconds(dice.random_range(1_000..900_000))
            };
            order.create_time = Some(from_chrono(placed));
            let mut refunds = Vec::new();
            let total = order.total.as_ref().unwrap().amount_minor;
            if dice.random_bool(0.8) {
                let paid = later(placed, dice);
                order.pay_time = Some(from_chrono(paid));
                order.bonus_minor = dice.random_range(0..=total);
                if dice.random_bool(0.8) {
                    let start = later(paid, dice);
                    order.start_time = Some(from_chrono(start));
                    if dice.random_bool(0.9) {
                        order.ready_time = Some(from_chrono(later(start, dice)));
                    }
                }
                let (mut left, mut bonus_left) = (total, order.bonus_minor);
                for _ in 0..dice.random_range(0..4) {
                    let amount_minor = dice.random_range(0..=left);
                    let bonus_minor = dice.random_range(0..=bonus_left.min(amount_minor));
                    left -= amount_minor;
                    bonus_left -= bonus_minor;
                    refunds.push(Refund { id: new_id(), amount_minor, bonus_minor, ..Refund::default() });
                }
            }
            Served { order, refunds }
        });
        Self { served: served.collect() }
    }

    /// Everything that is told about it, in the order in which it happened to each order.
    pub fn told(&self) -> Vec<Told> {
        self.served.iter().flat_map(Served::told).collect()
    }

    /// The numbers, counted the plain way over the orders as they are.
    pub fn counted(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Report {
        let within = |time: Option<artel_proto::Timestamp>| {
            time.as_ref().and_then(to_chrono).filter(|time| (start..end).contains(time))
        };
        let hour = |time: DateTime<Utc>| time.timestamp().div_euclid(3_600) * 3_600;
        let placed: Vec<&Served> =
            self.served.iter().filter(|one| within(one.order.create_time).is_some()).collect();
        let paid: Vec<&Served> =
            self.served.iter().filter(|one| within(one.order.pay_time).is_some()).collect();
        let placed_at = |one: &&Served| hour(within(one.order.create_time).unwrap());
        let paid_at = |one: &&Served| hour(within(one.order.pay_time).unwrap());
        let hours: BTreeSet<i64> = placed.iter().map(placed_at).chain(paid.iter().map(paid_at)).collect();
        let hours = hours.into_iter().map(|at| {
            let count = placed.iter().filter(|one| placed_at(one) == at).count();
            let there: Vec<&Served> = paid.iter().filter(|one| paid_at(one) == at).copied().collect();
            let begin = DateTime::from_timestamp(at, 0).unwrap();
            HourNumbers { start_time: Some(from_chrono(begin)), numbers: Some(numbers(count, &there)) }
        });
        let mut dishes: BTreeMap<&str, Vec<&Served>> = BTreeMap::new();
        for one in &paid {
            let names: BTreeSet<&str> = one.order.items.iter().map(|item| item.dish_id.as_str()).collect();
            names.into_iter().for_each(|dish| dishes.entry(dish).or_default().push(*one));
        }
        let mut dishes: Vec<DishNumbers> =
            dishes.iter().map(|(dish, with)| dish_numbers(dish, with)).collect();
        dishes.sort_by_key(|dish| (-dish.amount_minor, dish.dish_id.clone()));
        Report {
            start_time: Some(from_chrono(start)),
            end_time: Some(from_chrono(end)),
            total: Some(numbers(placed.len(), &paid)),
            hours: hours.collect(),
            dishes,
            currency: "KZT".to_owned(),
        }
    }
}

impl Served {
    fn told(&self) -> Vec<Told> {
        let order = &self.order;
        let (order_id, user_id) = (order.id.clone(), order.user_id.clone());
        // As it was when it was placed.
        let young =
            Order { pay_time: None, start_time: None, ready_time: None, bonus_minor: 0, ..order.clone() };
        let paid = Order { pay_time: order.pay_time, bonus_minor: order.bonus_minor, ..young.clone() };
        let mut told = vec![Told::Placed(OrderPlaced {
            order_id: order_id.clone(),
            user_id: user_id.clone(),
            order: Some(young),
        })];
        if order.pay_time.is_some() {
            told.push(Told::Paid(OrderPaid {
                order_id: order_id.clone(),
                user_id: user_id.clone(),
                order: Some(paid),
                ..OrderPaid::default()
            }));
        }
        if order.start_time.is_some() {
            told.push(Told::Preparing(OrderPreparing {
                order_id: order_id.clone(),
                user_id: user_id.clone(),
                start_time: order.start_time,
            }));
        }
        if order.ready_time.is_some() {
            told.push(Told::Ready(OrderReady {
                order_id: order_id.clone(),
                user_id: user_id.clone(),
                board_number: order.board_number,
                start_time: order.start_time,
                ready_time: order.ready_time,
            }));
        }
        told.extend(self.refunds.iter().map(|refund| {
            Told::Refunded(Box::new(PaymentRefunded {
                order_id: order_id.clone(),
                user_id: user_id.clone(),
                refund: Some(refund.clone()),
                payment: Some(Payment::default()),
                ..PaymentRefunded::default()
            }))
        }));
        told
    }

    fn preparation(&self) -> Option<i64> {
        let (start, ready) =
            (to_chrono(self.order.start_time.as_ref()?)?, to_chrono(self.order.ready_time.as_ref()?)?);
        Some((ready - start).num_milliseconds())
    }
}

fn numbers(placed: usize, paid: &[&Served]) -> Numbers {
    let amount: i64 = paid.iter().map(|one| one.order.total.as_ref().unwrap().amount_minor).sum();
    let bonus: i64 = paid.iter().map(|one| one.order.bonus_minor).sum();
    let refunds = || paid.iter().flat_map(|one| &one.refunds);
    let refunded: i64 = refunds().map(|refund| refund.amount_minor).sum();
    let average = if paid.is_empty() { 0.0 } else { amount as f64 / paid.len() as f64 };
    Numbers {
        placed: placed as i64,
        orders: paid.len() as i64,
        revenue_minor: amount - refunded,
        average_bill_minor: (average + 0.5).floor() as i64,
        bonus_minor: bonus - refunds().map(|refund| refund.bonus_minor).sum::<i64>(),
        refunded_minor: refunded,
        preparation_p50_ms: at_most(paid, 50),
        preparation_p95_ms: at_most(paid, 95),
    }
}

fn dish_numbers(dish: &str, with: &[&Served]) -> DishNumbers {
    let lines = || with.iter().flat_map(|one| &one.order.items).filter(|item| item.dish_id == dish);
    DishNumbers {
        dish_id: dish.to_owned(),
        name: format!("Dish {dish}"),
        quantity: lines().map(|item| i64::from(item.quantity)).sum(),
        amount_minor: lines()
            .map(|item| i64::from(item.quantity) * item.price.as_ref().unwrap().amount_minor)
            .sum(),
        preparation_p50_ms: at_most(with, 50),
        preparation_p95_ms: at_most(with, 95),
    }
}

/// The least time that so many of a hundred did not exceed, by trying them all.
fn at_most(orders: &[&Served], percent: usize) -> i64 {
    let times: Vec<i64> = orders.iter().filter_map(|one| one.preparation()).collect();
    let enough =
        |bound: &&i64| times.iter().filter(|time| time <= bound).count() * 100 >= percent * times.len();
    times.iter().filter(enough).min().copied().unwrap_or(0)
}
