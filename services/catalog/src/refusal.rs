//! Why the catalogue does not do what it is asked for, and what the caller is told.

use artel_util::{Error, Violation};
use tonic::Code;

/// What is wrong with a request, or with the state things are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such product, or it was taken out.
    NoSuchProduct { id: String },
    /// Fields that cannot be as they are.
    Fields(Vec<Violation>),
    /// The product has another version than the editor saw.
    Changed { id: String, expected: i64, actual: String },
}

impl Refusal {
    /// One wrong field, in JSON spelling.
    pub(crate) fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Fields(vec![Violation { field: field.into(), description: description.into() }])
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchProduct { id } => Self::not_found(
                "PRODUCT_NOT_FOUND",
                format!("There is no product {id}. Look it up again in the list of products."),
            )
            .with("productId", id),
            Refusal::Fields(fields) => {
                let message = fields
                    .iter()
                    .map(|wrong| format!("{}: {}", wrong.field, wrong.description))
                    .collect::<Vec<_>>()
                    .join("; ");
                fields
                    .into_iter()
                    .fold(Self::new(Code::InvalidArgument, "INVALID_FIELDS", message), |error, wrong| {
                        error.field(wrong.field, wrong.description)
                    })
            }
            Refusal::Changed { id, expected, actual } => Self::new(
                Code::Aborted,
                "PRODUCT_CHANGED",
                format!(
                    "The product has version {actual} by now, not {expected}. Get it, make the change on what it \
                     is now, and send that."
                ),
            )
            .with("productId", id)
            .with("expectedVersion", expected)
            .with("actualVersion", actual),
        }
    }
}
