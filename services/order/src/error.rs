//! What can be wrong with an order, and what its owner is told.

use artel_util::Error;
use tonic::Code;

/// Why an order cannot be placed or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Line `index` names a product that is not there.
    NoSuchProduct { index: usize, product_id: String },
    /// The product has fewer than asked for.
    OutOfStock { index: usize, product_id: String, name: String, asked: i32, left: i32 },
    /// The lines of one product add up to more than can be counted.
    TooMany { index: usize },
    /// The sum is more than money can hold.
    TooMuch,
    /// Two products are sold in different currencies.
    Currencies { index: usize, one: String, other: String },
    /// No such order, or it is somebody else's: the two look the same from outside.
    NoSuchOrder,
    /// Prices or stock changed under us again and again.
    Busy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchProduct { index, product_id } => Self::not_found(
                "PRODUCT_NOT_FOUND",
                format!("items[{index}].productId: there is no product {product_id}. Look it up again."),
            )
            .with("productId", &product_id)
            .field(format!("items[{index}].productId"), "there is no such product"),
            Refusal::OutOfStock { index, product_id, name, asked, left } => {
                Self::precondition("OUT_OF_STOCK", out_of_stock(&name, asked, left))
                    .with("productId", &product_id)
                    .with("left", left)
                    .field(
                        format!("items[{index}].quantity"),
                        format!("is {asked} in all lines of this product, {left} are left"),
                    )
            }
            Refusal::TooMany { index } => Self::invalid(
                format!("items[{index}].quantity"),
                "the lines of this product add up to more than 1000000",
            ),
            Refusal::TooMuch => Self::invalid("items", "the total is more than can be paid in one order"),
            Refusal::Currencies { index, one, other } => Self::invalid(
                format!("items[{index}].productId"),
                format!("is sold in {other}, the products before it in {one}; order them separately"),
            ),
            Refusal::NoSuchOrder => {
                Self::not_found("ORDER_NOT_FOUND", "There is no such order. Look at the list of your orders.")
            }
            Refusal::Busy => Self::new(
                Code::Aborted,
                "ORDER_CONTENDED",
                "The prices or the order changed while it was worked on. Try again.",
            ),
        }
    }
}

fn out_of_stock(name: &str, asked: i32, left: i32) -> String {
    match left {
        0 => format!("«{name}» is sold out. Take it out of the order."),
        1 => format!("Only one «{name}» is left and {asked} were asked for. Order fewer."),
        _ => format!("Only {left} of «{name}» are left and {asked} were asked for. Order fewer."),
    }
}
