//! What lines of dishes come to, pure.

use artel_proto::menu::{DishLine, DishOffer, Unavailable};
use artel_proto::order::{Order, OrderItem, OrderStatus, PlaceOrderItem};
use artel_proto::types::Money;
use artel_util::{Error, money, new_id};

use crate::domain::number;
use crate::error::Refusal;

/// Most of one dish in an order, as the contract has it for a line.
const MOST: i32 = 100;

/// A dish asked for in one way, all its lines together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) dish_id: String,
    /// In order, each once: what is left out of two orders is the same however it was said.
    pub(super) modifier_ids: Vec<String>,
    pub(super) quantity: i32,
    /// The first line that named it, to point at in errors.
    pub(super) index: usize,
}

/// The lines with those of one dish and the same modifiers counted together, in the order of their first mention.
pub(super) fn together(items: &[PlaceOrderItem]) -> Result<Vec<Line>, Refusal> {
    let mut lines: Vec<Line> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let dish_id = item.dish_id.to_ascii_lowercase();
        let mut modifier_ids = item.modifier_ids.clone();
        modifier_ids.sort_unstable();
        modifier_ids.dedup();
        let same = |line: &&mut Line| line.dish_id == dish_id && line.modifier_ids == modifier_ids;
        match lines.iter_mut().find(same) {
            Some(line) => {
                let sum = line.quantity.checked_add(item.quantity).filter(|sum| *sum <= MOST);
                line.quantity = sum.ok_or(Refusal::TooManyDishes { index })?;
            }
            None => lines.push(Line { dish_id, modifier_ids, quantity: item.quantity, index }),
        }
    }
    Ok(lines)
}

/// The lines as `menu` is asked about them.
pub(super) fn question(lines: &[Line]) -> Vec<DishLine> {
    let line = |line: &Line| DishLine {
        dish_id: line.dish_id.clone(),
        quantity: line.quantity,
        modifier_ids: line.modifier_ids.clone(),
    };
    lines.iter().map(line).collect()
}

/// The order that these lines make of what `menu` offers for them.
pub(super) fn draft(user_id: &str, lines: &[Line], offers: Vec<DishOffer>) -> Result<Order, Error> {
    if lines.len() != offers.len() {
        let text = format!("menu answers {} lines of {}", offers.len(), lines.len());
        return Err(Error::internal(text));
    }
    let mut items = Vec::with_capacity(lines.len());
    let mut currency: Option<String> = None;
    let mut sums = Vec::with_capacity(lines.len());
    for (line, offer) in lines.iter().zip(offers) {
        let why = offer.unavailable();
        if why != Unavailable::Unspecified {
            return Err(Refusal::DishUnavailable {
                index: line.index,
                dish_id: line.dish_id.clone(),
                name: offer.name,
                why,
                portions: offer.portions.max(0),
            }
            .into());
        }
        let price = offer.price.ok_or_else(|| Error::internal("menu offers a dish without a price"))?;
        let one = currency.get_or_insert_with(|| price.currency.clone());
        if *one != price.currency {
            return Err(Refusal::Currencies {
                field: format!("items[{}].dishId", line.index),
                one: one.clone(),
                other: price.currency,
            }
            .into());
        }
        sums.push(money::times(price.amount_minor, line.quantity).ok_or(Refusal::TooMuch)?);
        items.push(OrderItem {
            dish_id: line.dish_id.clone(),
            name: offer.name,
            quantity: line.quantity,
            price: Some(price),
            modifier_ids: line.modifier_ids.clone(),
            modifiers: offer.modifiers,
            ..OrderItem::default()
        });
    }
    let total = Money {
        amount_minor: money::sum(sums).ok_or(Refusal::TooMuch)?,
        currency: currency.unwrap_or_default(),
    };
    Ok(Order {
        id: new_id(),
        number: number(rand::random()),
        user_id: user_id.to_owned(),
        status: OrderStatus::Placed.into(),
        items,
        total: Some(total),
        ..Order::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(dish_id: &str, quantity: i32, modifiers: &[&str]) -> PlaceOrderItem {
        let modifier_ids = modifiers.iter().map(|id| (*id).to_owned()).collect();
        PlaceOrderItem { dish_id: dish_id.into(), quantity, modifier_ids }
    }

    fn offer(price: i64, currency: &str) -> DishOffer {
        DishOffer {
            name: "Лагман".into(),
            price: Some(Money { amount_minor: price, currency: currency.into() }),
            ..DishOffer::default()
        }
    }

    #[test]
    fn lines_of_one_dish_in_one_way_count_together() {
        let items = [
            item("a", 2, &["hot", "no_onion"]),
            item("a", 1, &[]),
            item("A", 3, &["no_onion", "hot", "hot"]),
        ];
        let lines = together(&items).unwrap();
        let seen: Vec<_> = lines.iter().map(|line| (line.quantity, line.index)).collect();
        assert_eq!(seen, [(5, 0), (1, 1)]);
        let heap = [item("a", 100, &[]), item("b", 1, &[]), item("a", 1, &[])];
        assert_eq!(together(&heap), Err(Refusal::TooManyDishes { index: 2 }));
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let lines = together(&[item("a", 2, &[]), item("b", 3, &[])]).unwrap();
        let refused = |second: DishOffer| draft("u", &lines, vec![offer(100, "KZT"), second]).unwrap_err();
        let few = refused(DishOffer {
            portions: 2,
            unavailable: Unavailable::Ingredients.into(),
            ..offer(100, "KZT")
        });
        assert_eq!(few.reason(), "DISH_UNAVAILABLE");
        assert_eq!(
            (few.get("dishId"), few.get("why"), few.get("portions")),
            (Some("b"), Some("INGREDIENTS"), Some("2"))
        );
        assert_eq!(few.fields()[0].field, "items[1].quantity");
        for (why, field) in [
            (Unavailable::DayPart, "items[1].dishId"),
            (Unavailable::Hidden, "items[1].dishId"),
            (Unavailable::Unknown, "items[1].dishId"),
            (Unavailable::Modifier, "items[1].modifierIds"),
        ] {
            let refused = refused(DishOffer { unavailable: why.into(), ..DishOffer::default() });
            assert_eq!((refused.reason(), refused.fields()[0].field.as_str()), ("DISH_UNAVAILABLE", field));
        }
        assert_eq!(refused(offer(100, "RUB")).fields()[0].field, "items[1].dishId");
        assert_eq!(refused(offer(i64::MAX, "KZT")).fields()[0].field, "items");
        // An answer that is not one line for each is nobody's order.
        assert_eq!(draft("u", &lines, vec![offer(100, "KZT")]).unwrap_err().reason(), "INTERNAL");
    }

    proptest! {
        #[test]
        fn totals_are_exact_or_refused(
            wanted in prop::collection::vec((0_usize..5, 1_i32..=MOST), 1..30),
            prices in prop::array::uniform5(0_i64..=i64::MAX / 100),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let items: Vec<_> = wanted.iter().map(|(index, quantity)| item(names[*index], *quantity, &[])).collect();
            let exact: i128 =
                wanted.iter().map(|(index, quantity)| i128::from(prices[*index]) * i128::from(*quantity)).sum();
            let made = together(&items).map_err(Error::from).and_then(|lines| {
                let price = |line: &Line| names.iter().position(|name| *name == line.dish_id).map_or(0, |at| prices[at]);
                let offers = lines.iter().map(|line| offer(price(line), "KZT")).collect();
                draft("u", &lines, offers)
            });
            let heap = (0..5).any(|index| {
                wanted.iter().filter(|(own, _)| *own == index).map(|(_, quantity)| quantity).sum::<i32>() > MOST
            });
            match made {
                Ok(order) => prop_assert_eq!(i128::from(order.total.unwrap().amount_minor), exact),
                Err(_) => prop_assert!(heap || exact > i128::from(i64::MAX)),
            }
        }
    }
}
