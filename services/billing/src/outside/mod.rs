//! What can be known of a call to a company outside of the mesh.

mod major;

use artel_outside::Failed;

pub(crate) use major::{major, minor};

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

impl<T> Answer<T> {
    pub fn refused(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Refused { reason: reason.into(), message: message.into() }
    }

    /// The same of what follows from what was done.
    pub fn and_then<U>(self, next: impl FnOnce(T) -> Answer<U>) -> Answer<U> {
        match self {
            Self::Done(done) => next(done),
            Self::Refused { reason, message } => Answer::Refused { reason, message },
            Self::NotDone(why) => Answer::NotDone(why),
            Self::Unknown(why) => Answer::Unknown(why),
        }
    }
}

/// They could not be asked; what they would have said is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Away(pub String);

impl From<Failed> for Away {
    fn from(failed: Failed) -> Self {
        Self(failed.to_string())
    }
}

impl<T> From<Failed> for Answer<T> {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::NotDone(why) => Self::NotDone(why),
            Failed::Unknown(why) => Self::Unknown(why),
        }
    }
}
