use artel_util::Error;
use tonic::Code;

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not the caller's workspace.
    NoSuchOrganization,
    /// A moment that is none.
    NoMoment { field: &'static str },
    /// The end is not after the beginning.
    Backwards,
    /// More days than are counted at once.
    TooLong { days: i64 },
    /// More orders than are counted at once.
    TooMany { most: usize },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoSuchOrganization => Self::not_found(
                "ORGANIZATION_NOT_FOUND",
                "There is no such organization. Ask about the one that you signed in to.",
            ),
            Refusal::NoMoment { field } => Self::invalid(field, "is no moment between the years 1 and 9999"),
            Refusal::Backwards => Self::invalid("endTime", "must be after startTime"),
            Refusal::TooLong { days } => {
                Self::invalid("endTime", format!("must be at most {days} days after startTime"))
            }
            Refusal::TooMany { most } => {
                let text = format!("The period has more than {most} orders. Ask about a shorter one.");
                Self::new(Code::ResourceExhausted, "REPORT_TOO_LARGE", text).with("limit", most)
            }
        }
    }
}
