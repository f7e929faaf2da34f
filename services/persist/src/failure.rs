//! What PostgreSQL says when something does not work, sorted by what is to be done about it.

use artel_util::Error;
use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Diesel};
use tonic::Code;

/// Why a statement or a connection failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection: nothing was sent.
    Away(String),
    /// The connection was lost: nobody knows whether what was sent was done.
    Lost(String),
    /// All connections were in use for too long.
    Busy,
    /// A deadlock or a serialization failure: the same again will work.
    Conflict,
    /// A row was locked by somebody else for longer than was to be waited for.
    Locked,
    /// The caller's time was up.
    Timeout,
    /// A unique value is taken.
    Unique { index: String },
    /// A reference points nowhere, or something points to what was deleted.
    Reference { constraint: String, table: String },
    /// A value that a column cannot hold.
    Refused(String),
    /// Ours.
    Other(Diesel),
}

/// Texts of PostgreSQL are looked at only where diesel keeps no code; the start-up check refuses a server that speaks
/// another language.
impl From<Diesel> for Failure {
    fn from(error: Diesel) -> Self {
        sorted(&error).unwrap_or(Self::Other(error))
    }
}

/// What an error is in the metrics.
pub(crate) fn kind(error: &Diesel) -> &'static str {
    sorted(error).map_or("other", |failure| failure.kind())
}

fn sorted(error: &Diesel) -> Option<Failure> {
    let Diesel::DatabaseError(kind, information) = error else { return None };
    let constraint = || information.constraint_name().unwrap_or_default().to_owned();
    Some(match kind {
        DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
            Failure::Lost(information.message().to_owned())
        }
        DatabaseErrorKind::SerializationFailure => Failure::Conflict,
        DatabaseErrorKind::UniqueViolation => Failure::Unique { index: constraint() },
        DatabaseErrorKind::ForeignKeyViolation => Failure::Reference {
            constraint: constraint(),
            table: information.table_name().unwrap_or_default().to_owned(),
        },
        DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation => {
            Failure::Refused(information.message().to_owned())
        }
        _ => return by_text(information.as_ref()),
    })
}

fn by_text(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Option<Failure> {
    let message = information.message();
    if message.starts_with("deadlock detected") || message.starts_with("could not serialize") {
        return Some(Failure::Conflict);
    }
    if message.starts_with("canceling statement due to lock timeout") {
        return Some(Failure::Locked);
    }
    if message.starts_with("canceling statement due to") {
        return Some(Failure::Timeout);
    }
    if [
        "terminating connection",
        "the database system is",
        "sorry, too many clients",
        "remaining connection slots",
    ]
    .iter()
    .any(|start| message.starts_with(start))
    {
        return Some(Failure::Lost(message.to_owned()));
    }
    if message.ends_with("out of range")
        || message.starts_with("index row")
        || message.starts_with("string is too long")
    {
        return Some(Failure::Refused(message.to_owned()));
    }
    None
}

impl Failure {
    /// What it is in the metrics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Away(_) => "away",
            Self::Lost(_) => "lost",
            Self::Busy => "busy",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Locked => "locked",
            Self::Unique { .. } => "unique",
            Self::Reference { .. } => "reference",
            Self::Refused(_) => "refused",
            Self::Other(_) => "other",
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Away(cause) | Failure::Lost(cause) => {
                Self::unavailable("DATABASE_AWAY", "The database cannot be reached. Try again in a moment.")
                    .retry_after(std::time::Duration::from_secs(1))
                    .caused_by(cause)
            }
            Failure::Busy => Self::new(
                Code::ResourceExhausted,
                "POOL_EXHAUSTED",
                "All connections to the database are in use. Try again in a moment.",
            )
            .retry_after(std::time::Duration::from_millis(200)),
            Failure::Conflict | Failure::Locked => Self::new(
                Code::Aborted,
                "CONFLICT",
                "Others changed the same rows at the same time, again and again. Try again.",
            ),
            Failure::Timeout => Self::new(
                Code::DeadlineExceeded,
                "STATEMENT_TIMEOUT",
                "The caller's time was up in the database.",
            ),
            Failure::Refused(message) => {
                Self::new(Code::InvalidArgument, "VALUE_REFUSED", "A value does not fit where it is stored.")
                    .caused_by(message)
            }
            Failure::Unique { index } => Self::internal(format!("unexpected unique violation of {index}")),
            Failure::Reference { constraint, .. } => {
                Self::internal(format!("unexpected reference violation of {constraint}"))
            }
            Failure::Other(error) => Self::internal(error),
        }
    }
}
