//! What can be wrong with {{a_entity}}, and what its owner is told.

use artel_util::Error;

/// Why something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Nothing is left of the name without its spaces.
    NoName,
    /// It is not there, or it is somebody else's: the two look the same from outside.
    NotThere,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoName => Self::invalid("name", "must not be spaces alone"),
            Refusal::NotThere => Self::not_found(
                "{{ENTITY}}_NOT_FOUND",
                "There is no such {{entity}}. Look at the list of your {{entities}}.",
            ),
        }
    }
}
