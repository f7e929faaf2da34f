//! What an event says about an order, pure. Each says something that no other takes back, so the same events make the
//! same fact in whatever order they come. A refund alone adds up: who commits it sees to it that it is heard once.

use artel_proto::Timestamp;
use artel_proto::billing::Refund;
use artel_proto::order::{Order, OrderItem};
use artel_proto::statistics::{DishFact, OrderFact};
use artel_util::money;

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) enum News<'a> {
    /// The order was placed.
    Placed(&'a Order),
    /// It was paid.
    Paid { order: &'a Order, time: Timestamp },
    /// Cooking began.
    Preparing { start: Timestamp },
    /// It was ready.
    Ready { start: Option<Timestamp>, ready: Timestamp },
    /// Some of it was given back.
    Refunded(&'a Refund),
}

/// Adds the news to the fact.
pub(crate) fn add(fact: &mut OrderFact, news: &News<'_>) {
    match news {
        News::Placed(order) => order_is(fact, order),
        News::Paid { order, time } => {
            order_is(fact, order);
            fact.pay_time = order.pay_time.or(Some(*time));
            fact.bonus_minor = order.bonus_minor;
        }
        News::Preparing { start } => fact.start_time = fact.start_time.or(Some(*start)),
        News::Ready { start, ready } => {
            fact.start_time = fact.start_time.or(*start);
            fact.ready_time = fact.ready_time.or(Some(*ready));
        }
        News::Refunded(refund) => {
            fact.refunded_minor = fact.refunded_minor.saturating_add(refund.amount_minor);
            fact.refunded_bonus_minor = fact.refunded_bonus_minor.saturating_add(refund.bonus_minor);
        }
    }
}

fn order_is(fact: &mut OrderFact, order: &Order) {
    let total = order.total.clone().unwrap_or_default();
    fact.user_id.clone_from(&order.user_id);
    fact.place_time = order.create_time;
    (fact.amount_minor, fact.currency) = (total.amount_minor, total.currency);
    fact.dishes = dishes(&order.items);
}

/// A line a dish, however it was modified.
fn dishes(items: &[OrderItem]) -> Vec<DishFact> {
    let mut dishes: Vec<DishFact> = Vec::with_capacity(items.len());
    for item in items.iter().filter(|item| !item.dish_id.is_empty()) {
        let price = item.price.as_ref().map_or(0, |price| price.amount_minor);
        // The order's own sum was checked: its parts are no greater.
        let amount_minor = money::times(price, item.quantity).unwrap_or(i64::MAX);
        match dishes.iter_mut().find(|dish| dish.dish_id == item.dish_id) {
            Some(dish) => {
                dish.quantity = dish.quantity.saturating_add(item.quantity);
                dish.amount_minor = dish.amount_minor.saturating_add(amount_minor);
            }
            None => dishes.push(DishFact {
                dish_id: item.dish_id.clone(),
                name: item.name.clone(),
                quantity: item.quantity,
                amount_minor,
            }),
        }
    }
    dishes
}
