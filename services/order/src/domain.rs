//! The rules of orders, pure: what lines come to, what may be cancelled, what a number looks like.

use artel_proto::catalog::Product;
use artel_proto::order::{CreateOrderItem, Order, OrderItem, OrderStatus};
use artel_proto::types::Money;
use artel_util::{money, new_id};

use crate::error::Refusal;

/// Most of one product in an order, as the contract has it for a line.
const MOST: i32 = 1_000_000;
/// Crockford's base 32: no letters that are read as digits.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Symbols of an order's number: 40 bits, so that a workspace has millions of orders before two are likely to meet.
const NUMBER_LENGTH: usize = 8;

/// A product asked for and how many, all its lines together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
    /// The first line that named it, to point at in errors.
    pub(crate) index: usize,
}

/// The lines with those of one product counted together, in the order of their first mention.
pub(crate) fn together(items: &[CreateOrderItem]) -> Result<Vec<Line>, Refusal> {
    let mut lines: Vec<Line> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let product_id = item.product_id.to_ascii_lowercase();
        match lines.iter_mut().find(|line| line.product_id == product_id) {
            Some(line) => {
                let sum = line.quantity.checked_add(item.quantity).filter(|sum| *sum <= MOST);
                line.quantity = sum.ok_or(Refusal::TooMany { index })?;
            }
            None => lines.push(Line { product_id, quantity: item.quantity, index }),
        }
    }
    Ok(lines)
}

/// The order that these lines make of these products, at their prices now.
pub(crate) fn draft(user_id: &str, lines: &[Line], products: &[Product]) -> Result<Order, Refusal> {
    let mut items = Vec::with_capacity(lines.len());
    let mut currency: Option<&str> = None;
    let mut sums = Vec::with_capacity(lines.len());
    for line in lines {
        let (product, price) = find(line, products)?;
        if product.stock < line.quantity {
            return Err(out_of_stock(line, &product.name, product.stock));
        }
        let one = *currency.get_or_insert(&price.currency);
        if one != price.currency {
            let (one, other) = (one.to_owned(), price.currency.clone());
            let field = format!("items[{}].productId", line.index);
            return Err(Refusal::Currencies { field, one, other });
        }
        sums.push(money::times(price.amount_minor, line.quantity).ok_or(Refusal::TooMuch)?);
        items.push(OrderItem {
            product_id: product.id.clone(),
            name: product.name.clone(),
            quantity: line.quantity,
            price: Some(price.clone()),
            ..OrderItem::default()
        });
    }
    let total = Money {
        amount_minor: money::sum(sums).ok_or(Refusal::TooMuch)?,
        currency: currency.unwrap_or_default().to_owned(),
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

/// Says that a line asks for more than there is.
pub(crate) fn out_of_stock(line: &Line, name: &str, left: i32) -> Refusal {
    Refusal::OutOfStock {
        index: line.index,
        product_id: line.product_id.clone(),
        name: name.to_owned(),
        asked: line.quantity,
        left,
    }
}

/// A product without a price is not for sale, which is as if it were not there.
fn find<'a>(line: &Line, products: &'a [Product]) -> Result<(&'a Product, &'a Money), Refusal> {
    products
        .iter()
        .find(|product| product.id == line.product_id)
        .and_then(|product| Some((product, product.price.as_ref()?)))
        .ok_or_else(|| Refusal::NoSuchProduct { index: line.index, product_id: line.product_id.clone() })
}

/// A number that people can read out: `A-7K3F9Q2M`.
pub(crate) fn number(bits: u64) -> String {
    let symbols =
        (0..NUMBER_LENGTH).map(|place| char::from(LETTERS[(bits >> (place * 5)) as usize % LETTERS.len()]));
    std::iter::once('A').chain(std::iter::once('-')).chain(symbols).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn product(id: &str, amount_minor: i64, currency: &str, stock: i32) -> Product {
        Product {
            id: id.into(),
            name: format!("Product {id}"),
            price: Some(Money { amount_minor, currency: currency.into() }),
            stock,
            ..Product::default()
        }
    }

    fn item(product_id: &str, quantity: i32) -> CreateOrderItem {
        CreateOrderItem { product_id: product_id.into(), quantity }
    }

    #[test]
    fn lines_of_one_product_count_together() {
        let lines = together(&[item("a", 2), item("b", 1), item("A", 3)]).unwrap();
        assert_eq!(
            lines.iter().map(|line| (line.product_id.as_str(), line.quantity)).collect::<Vec<_>>(),
            [("a", 5), ("b", 1)]
        );
        let refusal =
            draft("u", &lines, &[product("a", 100, "RUB", 4), product("b", 1, "RUB", 9)]).unwrap_err();
        assert!(matches!(refusal, Refusal::OutOfStock { index: 0, asked: 5, left: 4, .. }), "{refusal:?}");
        assert_eq!(together(&[item("a", MOST), item("a", 1)]).unwrap_err(), Refusal::TooMany { index: 1 });
    }

    #[test]
    fn an_order_takes_the_prices_of_the_moment() {
        let lines = together(&[item("a", 2), item("b", 1)]).unwrap();
        let order =
            draft("u", &lines, &[product("b", 50, "RUB", 1), product("a", 12_900, "RUB", 2)]).unwrap();
        assert_eq!(order.total, Some(Money { amount_minor: 25_850, currency: "RUB".into() }));
        assert_eq!(order.status(), OrderStatus::Placed);
        assert_eq!(order.items[0].price.as_ref().unwrap().amount_minor, 12_900);
    }

    #[test]
    fn what_cannot_be_sold_is_refused() {
        let lines = together(&[item("a", 1), item("b", 2)]).unwrap();
        let a = product("a", 100, "RUB", 9);
        assert!(matches!(
            draft("u", &lines, std::slice::from_ref(&a)),
            Err(Refusal::NoSuchProduct { index: 1, .. })
        ));
        let kzt = product("b", 100, "KZT", 9);
        assert!(
            matches!(draft("u", &lines, &[a.clone(), kzt]), Err(Refusal::Currencies { field, .. }) if field == "items[1].productId")
        );
        let dear = product("b", i64::MAX, "RUB", 9);
        assert_eq!(draft("u", &lines, &[a, dear]).unwrap_err(), Refusal::TooMuch);
    }

    proptest! {
        #[test]
        fn totals_are_exact_or_refused(wanted in prop::collection::vec((0_usize..5, 1_i32..=MOST), 1..30), prices in prop::array::uniform5(0_i64..=i64::MAX / 1_000)) {
            let names = ["a", "b", "c", "d", "e"];
            let products: Vec<Product> = names.iter().zip(prices).map(|(name, price)| product(name, price, "RUB", i32::MAX)).collect();
            let items: Vec<_> = wanted.iter().map(|(index, quantity)| item(names[*index], *quantity)).collect();
            let exact: i128 = wanted.iter().map(|(index, quantity)| i128::from(prices[*index]) * i128::from(*quantity)).sum();
            if let Ok(order) = together(&items).and_then(|lines| draft("u", &lines, &products)) {
                prop_assert_eq!(i128::from(order.total.unwrap().amount_minor), exact);
                let asked: i64 = wanted.iter().map(|(_, quantity)| i64::from(*quantity)).sum();
                prop_assert_eq!(order.items.iter().map(|item| i64::from(item.quantity)).sum::<i64>(), asked);
            } else {
                let heap = (0..5).any(|index| wanted.iter().filter(|(own, _)| *own == index).map(|(_, quantity)| i64::from(*quantity)).sum::<i64>() > i64::from(MOST));
                prop_assert!(heap || exact > i128::from(i64::MAX));
            }
        }

        #[test]
        fn numbers_are_readable(bits in any::<u64>()) {
            let number = number(bits);
            prop_assert_eq!(number.len(), 10);
            prop_assert!(number.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'));
        }
    }
}
