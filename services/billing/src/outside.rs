//! What can be known of a call to a company outside of the mesh.

/// How a call that moves money or paper ended, as far as it can be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer<T> {
    /// It was done, now or before with the same key.
    Done(T),
    /// They refuse it for good, and nothing was done: the same request would be refused again.
    Refused {
        /// Their code of it, stable: `insufficient_funds`.
        reason: String,
        /// The same for people, in their words.
        message: String,
    },
    /// Nothing was done, surely; it may go better another time.
    NotDone(String),
    /// Done or not, nobody knows: look it up by its key before anything else.
    Unknown(String),
}

/// They could not be asked; what they would have said is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Away(pub String);
