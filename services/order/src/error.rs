//! What can be wrong with an order, and what its owner is told.

use std::time::Duration;

use artel_proto::menu::Unavailable;
use artel_util::Error;
use tonic::Code;

/// After how long a number of the board may be free.
const LATER: Duration = Duration::from_secs(60);

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
    /// Two products are sold in different currencies; the field names the second.
    Currencies { field: String, one: String, other: String },
    /// No such order, or it is somebody else's: the two look the same from outside.
    NoSuchOrder,
    /// Prices or stock changed under us again and again.
    Busy,
    /// It is paid, or was.
    Paid,
    /// A payment is under way.
    BeingPaid,
    /// It is cancelled.
    Cancelled,
    /// The payment let the order go before.
    ClaimReleased,
    /// No payment has taken it.
    NotClaimed,
    /// More points than it costs.
    BonusTooMuch { most: i64 },
    /// It does not wait for its guest.
    NotReady,
    /// Line `index` asks for a dish that cannot be had now.
    DishUnavailable { index: usize, dish_id: String, name: String, why: Unavailable, portions: i32 },
    /// The lines of one dish add up to more than are cooked for one order.
    TooManyDishes { index: usize },
    /// All numbers of the board are taken.
    BoardFull,
    /// The position is no position of the board.
    NoPosition,
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
            Refusal::Currencies { field, one, other } => Self::invalid(
                field,
                format!("is sold in {other}, what stands before it in {one}; order them separately"),
            ),
            Refusal::NoSuchOrder => {
                Self::not_found("ORDER_NOT_FOUND", "There is no such order. Look at the list of your orders.")
            }
            Refusal::Busy => Self::new(
                Code::Aborted,
                "ORDER_CONTENDED",
                "The prices or the order changed while it was worked on. Try again.",
            ),
            Refusal::Paid => Self::precondition("ORDER_PAID", "The order is paid. Ask for a refund instead."),
            Refusal::BeingPaid => Self::precondition(
                "ORDER_BEING_PAID",
                "A payment of the order is under way. Wait for its end, then look again.",
            ),
            Refusal::Cancelled => {
                Self::precondition("ORDER_CANCELLED", "The order is cancelled. Place a new one.")
            }
            Refusal::ClaimReleased => Self::precondition(
                "CLAIM_RELEASED",
                "This payment has let the order go. Begin a new payment.",
            ),
            Refusal::NotClaimed => {
                Self::precondition("ORDER_NOT_CLAIMED", "No payment has taken the order. Claim it first.")
            }
            Refusal::BonusTooMuch { most } => {
                Self::invalid("bonusMinor", format!("must be at most what the order costs, {most}"))
            }
            Refusal::NotReady => Self::precondition(
                "ORDER_NOT_READY",
                "The order is not ready to be handed over. Look at the board.",
            ),
            Refusal::DishUnavailable { index, dish_id, name, why, portions } => {
                let (field, what) = unavailable(why, portions);
                let name = if name.is_empty() { &dish_id } else { &name };
                Self::precondition("DISH_UNAVAILABLE", format!("«{name}» {what}. Change the order."))
                    .with("dishId", &dish_id)
                    .with("why", why.as_str_name().trim_start_matches("UNAVAILABLE_"))
                    .with("portions", portions)
                    .field(format!("items[{index}].{field}"), what)
            }
            Refusal::TooManyDishes { index } => Self::invalid(
                format!("items[{index}].quantity"),
                "the lines of this dish add up to more than 100",
            ),
            Refusal::BoardFull => Self::new(
                Code::ResourceExhausted,
                "BOARD_FULL",
                "So many orders are open that the board has no number left. Try again in a few minutes.",
            )
            .retry_after(LATER),
            Refusal::NoPosition => {
                Self::invalid("position", "is no position that the board gave; begin without one")
            }
        }
    }
}

/// The field that is to be changed, and what is wrong with it.
fn unavailable(why: Unavailable, portions: i32) -> (&'static str, String) {
    match why {
        Unavailable::DayPart => ("dishId", "is not served at this time of day".to_owned()),
        Unavailable::Ingredients if portions > 0 => {
            ("quantity", format!("can be cooked only {portions} times now"))
        }
        Unavailable::Ingredients => ("dishId", "has just run out".to_owned()),
        Unavailable::Modifier => ("modifierIds", "has no such modifier".to_owned()),
        Unavailable::Unknown => ("dishId", "is not on the menu".to_owned()),
        Unavailable::Hidden | Unavailable::Unspecified => {
            ("dishId", "cannot be ordered at the moment".to_owned())
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
