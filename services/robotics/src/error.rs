//! What can be wrong in the kitchen, and what the caller is told.

use artel_util::Error;
use tonic::Code;

use crate::domain::Shortage;

/// Why the kitchen does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A dish cannot be cooked from what nobody has reserved.
    Short(Shortage),
    /// More is to be taken away than there is.
    TooFew { taken: i64, left: i64 },
    /// Given back, perhaps before it was set aside.
    Released { id: String },
    /// Being cooked.
    Used { id: String },
    /// The same id came for another order.
    Reused { id: String },
    /// A field names an ingredient that there is not.
    NoSuchIngredient { field: String, id: String },
    /// Stock or reservation changed under us again and again.
    Busy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Short(Shortage { index, dish_id, ingredient_id, left }) => {
                let why = match &ingredient_id {
                    Some(id) => format!("of the ingredient {id} only {left} are left"),
                    None => "it has no recipe".to_owned(),
                };
                Self::precondition(
                    "INGREDIENTS_SHORT",
                    format!("The dish {dish_id} cannot be cooked: {why}. Take it out of the order, or order fewer."),
                )
                .with("dishId", dish_id)
                .with("ingredientId", ingredient_id.unwrap_or_default())
                .with("left", left)
                .field(format!("dishes[{index}]"), why)
            }
            Refusal::TooFew { taken, left } => Self::precondition(
                "INGREDIENTS_SHORT",
                format!("{taken} are to be taken away and {left} are left. Take fewer away."),
            )
            .with("left", left)
            .field("amount", format!("takes {taken}, {left} are left")),
            Refusal::Released { id } => Self::precondition(
                "RESERVATION_RELEASED",
                format!("The ingredients of the payment {id} were given back. Begin another payment."),
            ),
            Refusal::Used { id } => Self::precondition(
                "RESERVATION_USED",
                format!("The ingredients of the payment {id} are being cooked. They cannot be given back."),
            ),
            Refusal::Reused { id } => Self::new(
                Code::AlreadyExists,
                "IDEMPOTENCY_KEY_REUSED",
                format!("id: {id} is the reservation of another order. Take a new one for a new payment."),
            )
            .field("id", "is the reservation of another order"),
            Refusal::NoSuchIngredient { field, id } => Self::not_found(
                "INGREDIENT_NOT_FOUND",
                format!("{field}: there is no ingredient {id}. Put it first, or look the id up again."),
            )
            .with("ingredientId", id)
            .field(field, "there is no such ingredient"),
            Refusal::Busy => Self::new(
                Code::Aborted,
                "KITCHEN_CONTENDED",
                "The ingredients changed while they were worked on. Try again.",
            ),
        }
    }
}
