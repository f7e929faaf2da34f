use std::collections::HashMap;
use std::fmt;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// The domain of every `ErrorInfo` of ours.
const DOMAIN: &str = "artel";

type Source = Box<dyn std::error::Error + Send + Sync>;

/// What a caller is told when something does not work, and what the log is told beside it. A caller acts on code and
/// reason; the message is for people and says what to do. The cause never leaves the process.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    reason: String,
    message: String,
    fields: Vec<Violation>,
    metadata: HashMap<String, String>,
    retry_after: Option<std::time::Duration>,
    cause: Option<Source>,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.reason, self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| &**cause as &(dyn std::error::Error + 'static))
    }
}

/// A wrong field, in JSON spelling, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `items[0].quantity`
    pub field: String,
    /// `must be at least 1, is 0`
    pub description: String,
}

impl Error {
    /// Any error: a code, a stable reason in capitals (`OUT_OF_STOCK`) and a text that says what to do.
    #[must_use]
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            reason: reason.into(),
            message: message.into(),
            fields: Vec::new(),
            metadata: HashMap::new(),
            retry_after: None,
            cause: None,
        }))
    }

    /// INVALID_ARGUMENT for a field (JSON spelling).
    #[must_use]
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        Self::new(Code::InvalidArgument, "INVALID_FIELDS", format!("{field}: {description}"))
            .field(field, description)
    }

    /// NOT_FOUND.
    #[must_use]
    pub fn not_found(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, reason, message)
    }

    /// FAILED_PRECONDITION: the request is right, but not in the state things are in.
    #[must_use]
    pub fn precondition(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, reason, message)
    }

    /// UNAUTHENTICATED.
    #[must_use]
    pub fn unauthenticated(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Unauthenticated, reason, message)
    }

    /// UNAVAILABLE: the same request may work a moment later.
    #[must_use]
    pub fn unavailable(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, reason, message)
    }

    /// INTERNAL: a fault of ours. The caller learns no more than that.
    #[must_use]
    pub fn internal(cause: impl Into<Source>) -> Self {
        Self::new(
            Code::Internal,
            "INTERNAL",
            "Something went wrong on our side. Try again; if it stays, report the request id.",
        )
        .caused_by(cause)
    }

    /// Names a wrong field.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, description: impl Into<String>) -> Self {
        self.0.fields.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Adds to the metadata of the `ErrorInfo`.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.0.metadata.insert(key.into(), value.to_string());
        self
    }

    /// Says after how long trying again makes sense.
    #[must_use]
    pub fn retry_after(mut self, wait: std::time::Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Keeps what caused it, for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Source>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The text for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// After how long trying again makes sense, where that is said.
    #[must_use]
    pub fn wait(&self) -> Option<std::time::Duration> {
        self.0.retry_after
    }

    /// A value of the metadata.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.metadata.get(key).map(String::as_str)
    }

    /// The wrong fields.
    #[must_use]
    pub fn fields(&self) -> &[Violation] {
        &self.0.fields
    }

    /// True where the same request may work a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self.0.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::ResourceExhausted
        )
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let cause = error.0.cause.is_some().then(|| Chain(&error).to_string());
        let error = error.0;
        if matches!(error.code, Code::Internal | Code::Unknown | Code::DataLoss) {
            tracing::error!(reason = error.reason, cause, "request failed");
        } else if error.cause.is_some() {
            tracing::warn!(reason = error.reason, code = ?error.code, cause, "request refused");
        }
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason, DOMAIN, error.metadata);
        if !error.fields.is_empty() {
            let fields =
                error.fields.into_iter().map(|wrong| FieldViolation::new(wrong.field, wrong.description));
            details.set_bad_request(fields.collect::<Vec<_>>());
        }
        if let Some(wait) = error.retry_after {
            details.set_retry_info(Some(wait));
        }
        Status::with_error_details(error.code, error.message, details)
    }
}

/// What another service said, so that it can be acted on or passed on.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (info.reason.clone(), info.metadata.clone()),
            None => (code_name(status.code()).to_owned(), HashMap::new()),
        };
        let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Self(Box::new(Inner {
            code: status.code(),
            reason,
            message: status.message().to_owned(),
            fields: fields
                .into_iter()
                .map(|wrong| Violation { field: wrong.field, description: wrong.description })
                .collect(),
            metadata,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            cause: std::error::Error::source(&status).map(|source| source.to_string().into()),
        }))
    }
}

/// The reason of a status' `ErrorInfo`.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().map(|info| info.reason)
}

/// The metadata of a status' `ErrorInfo`.
#[must_use]
pub fn metadata(status: &Status) -> HashMap<String, String> {
    status.get_details_error_info().map(|info| info.metadata).unwrap_or_default()
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Unavailable => "UNAVAILABLE",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unknown => "UNKNOWN",
        Code::Internal => "INTERNAL",
        Code::DataLoss => "DATA_LOSS",
    }
}

/// An error with all its causes on one line.
struct Chain<'a>(&'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(out, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_the_wire_and_its_cause_does_not() {
        let error = Error::precondition("OUT_OF_STOCK", "only 2 left")
            .with("productId", "p")
            .field("items[0].quantity", "is more than the 2 in stock")
            .caused_by("secret table name");
        let status = Status::from(error);
        assert!(!format!("{status:?}").contains("secret"));
        let back = Error::from(status);
        assert_eq!(
            (back.code(), back.reason(), back.get("productId")),
            (Code::FailedPrecondition, "OUT_OF_STOCK", Some("p"))
        );
        assert_eq!(back.fields()[0].field, "items[0].quantity");
    }
}
