//! What can be wrong with the menu, and what the caller is told.

use artel_util::Error;
use tonic::Code;

/// Why the menu does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such dish, or it was taken out.
    NoSuchDish { id: String },
    /// A dish is to stand in a category that there is not.
    NoSuchCategory { id: String },
    /// Modifiers cost more than money can hold.
    TooDear { index: usize },
    /// Nobody can say what there is to cook from.
    KitchenAway,
    /// It changed under us again and again.
    Busy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchDish { id } => {
                Self::not_found("DISH_NOT_FOUND", format!("There is no dish {id}. Look it up in the menu."))
                    .with("dishId", id)
            }
            Refusal::NoSuchCategory { id } => Self::not_found(
                "CATEGORY_NOT_FOUND",
                format!("dish.categoryId: there is no category {id}. Put it first, or look the id up again."),
            )
            .with("categoryId", id)
            .field("dish.categoryId", "there is no such category"),
            Refusal::TooDear { index } => Self::invalid(
                format!("lines[{index}].modifierIds"),
                "the dish with these costs more than can be paid",
            ),
            Refusal::KitchenAway => Self::unavailable(
                "KITCHEN_UNAVAILABLE",
                "The kitchen does not say what there is. Try again in a moment.",
            ),
            Refusal::Busy => Self::new(
                Code::Aborted,
                "MENU_CONTENDED",
                "The menu changed while it was worked on. Try again.",
            ),
        }
    }
}
