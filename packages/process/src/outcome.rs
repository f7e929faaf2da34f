use std::fmt;

use artel_repo::Commit;
use artel_util::Error;
use tonic::Code;

use crate::table::Process;

/// How an attempt at a step ended.
pub enum Outcome<P: Process> {
    /// It is done. What it is about now, and what goes into the commit that records it.
    Done(P::Subject, Commit),
    /// It is refused and will be whenever it is tried: the saga turns around, and the caller is told this.
    Refused(Error),
    /// It could not be tried, and surely nothing was done.
    NotDone(Error),
    /// Nobody knows whether it was done.
    Unknown(Error),
}

impl<P: Process> Outcome<P> {
    /// What a service of the mesh answered to a call that it knows by key, where its answer needs no commit.
    pub fn of<T>(subject: P::Subject, answer: Result<T, tonic::Status>) -> Self {
        match answer {
            Ok(_) => Self::Done(subject, Commit::new()),
            Err(status) => Self::failed(status.into()),
        }
    }

    /// What an error of a service of the mesh means.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        match error.code() {
            Code::FailedPrecondition
            | Code::NotFound
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::OutOfRange => Self::Refused(error),
            _ => Self::Unknown(error),
        }
    }

    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Done(..) => "done",
            Self::Refused(_) => "refused",
            Self::NotDone(_) => "not_done",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl<P: Process> fmt::Debug for Outcome<P> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(..) => out.write_str("Done"),
            Self::Refused(error) | Self::NotDone(error) | Self::Unknown(error) => {
                write!(out, "{}({error})", self.word())
            }
        }
    }
}
