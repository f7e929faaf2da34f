//! What can be wrong with points, and what the caller is told.

use artel_util::Error;
use tonic::Code;

/// Why points cannot be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The guest has fewer.
    Short { asked: i64, balance: i64 },
    /// Nothing was held under this id.
    NoSuchHold { id: String },
    /// It was given back, perhaps before it was made.
    Released { id: String },
    /// It is spent, and can be given back with a refund only.
    Spent { id: String },
    /// More than was spent and not given back yet.
    Returned { asked: i64, left: i64 },
    /// The same id or key came with another request.
    Reused { field: &'static str },
    /// There is no such guest.
    NoSuchUser { id: String },
    /// The account changed under us again and again.
    Busy,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Short { asked, balance } => Self::precondition(
                "BONUS_SHORT",
                format!("{asked} points were to be used and there are {balance}. Use fewer."),
            )
            .with("balance", balance)
            .field("amount", format!("is {asked}, the balance is {balance}")),
            Refusal::NoSuchHold { id } => Self::not_found(
                "HOLD_NOT_FOUND",
                format!("No points were held for the payment {id}. Hold them first."),
            ),
            Refusal::Released { id } => Self::precondition(
                "HOLD_RELEASED",
                format!("The points of the payment {id} were given back. Begin another payment."),
            ),
            Refusal::Spent { id } => Self::precondition(
                "HOLD_SPENT",
                format!("The points of the payment {id} are spent. They come back with a refund only."),
            ),
            Refusal::Returned { asked, left } => Self::precondition(
                "BONUS_RETURNED",
                format!("{asked} points were to be given back, and {left} of those spent are left."),
            )
            .with("left", left)
            .field("amount", format!("is {asked}, {left} can be given back")),
            Refusal::Reused { field } => Self::new(
                Code::AlreadyExists,
                "IDEMPOTENCY_KEY_REUSED",
                format!("{field}: it was used for another request. Take a new one for a new request."),
            )
            .field(field, "was used for another request"),
            Refusal::NoSuchUser { id } => {
                Self::not_found("USER_NOT_FOUND", format!("There is no guest {id}. Look the id up again."))
                    .field("userId", "there is no such guest")
            }
            Refusal::Busy => Self::new(
                Code::Aborted,
                "BONUS_CONTENDED",
                "The points changed while they were worked on. Try again.",
            ),
        }
    }
}
