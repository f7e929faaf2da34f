//! Which refusals a method answers with: those that its comment names, and those that follow from its annotations.

use artel_proto::options::Access as Who;
use tonic::Code;

use crate::model::{Refusal, Service};

const CODES: [(&str, Code); 12] = [
    ("INVALID_ARGUMENT", Code::InvalidArgument),
    ("FAILED_PRECONDITION", Code::FailedPrecondition),
    ("OUT_OF_RANGE", Code::OutOfRange),
    ("UNAUTHENTICATED", Code::Unauthenticated),
    ("PERMISSION_DENIED", Code::PermissionDenied),
    ("NOT_FOUND", Code::NotFound),
    ("ALREADY_EXISTS", Code::AlreadyExists),
    ("ABORTED", Code::Aborted),
    ("RESOURCE_EXHAUSTED", Code::ResourceExhausted),
    ("UNIMPLEMENTED", Code::Unimplemented),
    ("UNAVAILABLE", Code::Unavailable),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
];

/// The HTTP status that REST callers see for a code.
pub fn http_status(code: Code) -> u16 {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::AlreadyExists | Code::Aborted => 409,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    }
}

/// A refusal that any method may answer with, and what to do about it.
#[derive(Debug, Clone, Copy)]
pub struct Common {
    /// The HTTP status.
    pub status: u16,
    /// The gRPC code.
    pub code: &'static str,
    /// The stable reason.
    pub reason: &'static str,
    /// When.
    pub when: &'static str,
    /// What to do.
    pub fix: &'static str,
}

/// What the edge and the server stack say, whatever is called.
pub const COMMON: [Common; 18] = [
    common(
        "INVALID_ARGUMENT",
        "INVALID_FIELDS",
        "Fields are wrong, missing or unknown; `BadRequest` names each.",
        "Mend the fields in `fieldViolations` and send again.",
    ),
    common(
        "INVALID_ARGUMENT",
        "INVALID_REQUEST",
        "The path or the query cannot be read.",
        "Read `message`: it names the parameter. Numbers are numbers, times RFC 3339, unknown names are refused.",
    ),
    common(
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
        "There is no access token, or it is not good.",
        "Sign in and send `Authorization: Bearer <access token>`.",
    ),
    common(
        "UNAUTHENTICATED",
        "TOKEN_EXPIRED",
        "The access token was good once.",
        "Trade the refresh token for the next pair of tokens, then send again.",
    ),
    common(
        "PERMISSION_DENIED",
        "ROLE_MISSING",
        "The caller does not have the role.",
        "Ask an operator to grant it, then sign in again: roles are in the token.",
    ),
    common(
        "NOT_FOUND",
        "PATH_NOT_FOUND",
        "There is nothing at this path.",
        "Compare the path with the reference.",
    ),
    common(
        "ALREADY_EXISTS",
        "IDEMPOTENCY_KEY_REUSED",
        "The idempotency key was used for another request.",
        "Take a new key for a new request; repeat a request with its own key, unchanged.",
    ),
    common(
        "RESOURCE_EXHAUSTED",
        "REQUEST_TOO_LARGE",
        "The request is larger than the edge takes.",
        "Send less at once; `message` says how much is taken.",
    ),
    common(
        "RESOURCE_EXHAUSTED",
        "RATE_LIMITED",
        "More requests than a caller may send.",
        "Wait as long as `Retry-After` or `RetryInfo` says, then send again.",
    ),
    common(
        "RESOURCE_EXHAUSTED",
        "OVERLOADED",
        "The service has more to do than it can.",
        "Wait as long as `RetryInfo` says, and longer each time, then send again.",
    ),
    common(
        "INVALID_ARGUMENT",
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is said to be something that this path does not take.",
        "Send `Content-Type: application/json`.",
    ),
    common(
        "INVALID_ARGUMENT",
        "UPGRADE_REQUIRED",
        "The version of HTTP is too old.",
        "Speak HTTP/1.1 or HTTP/2.",
    ),
    common(
        "UNIMPLEMENTED",
        "METHOD_NOT_ALLOWED",
        "The path does not take this HTTP method.",
        "`Allow` names those it takes.",
    ),
    common(
        "INVALID_ARGUMENT",
        "HEADERS_TOO_LARGE",
        "The headers are too many or too large.",
        "Send fewer headers; cookies are not needed.",
    ),
    common(
        "INTERNAL",
        "INTERNAL",
        "A fault of ours.",
        "Try again; if it stays, report the `x-request-id` of the answer.",
    ),
    common(
        "UNAVAILABLE",
        "SERVICE_UNAVAILABLE",
        "The service is away at the moment.",
        "Send again after a second, with the same idempotency key.",
    ),
    common(
        "DEADLINE_EXCEEDED",
        "DEADLINE_EXCEEDED",
        "The answer did not come in time. What was asked for may still have happened.",
        "Send again with the same idempotency key.",
    ),
    common(
        "INVALID_ARGUMENT",
        "MALFORMED_REQUEST",
        "The bytes are no message of this method: text that is not UTF-8, a broken frame.",
        "Use the contract's own stub, or send JSON as shown.",
    ),
];

const fn common(code: &'static str, reason: &'static str, when: &'static str, fix: &'static str) -> Common {
    Common { status: status_of(code, reason), code, reason, when, fix }
}

/// The edge has a status of its own for some.
const fn status_of(code: &'static str, reason: &'static str) -> u16 {
    match (code.as_bytes(), reason.as_bytes()) {
        (_, b"REQUEST_TOO_LARGE") => 413,
        (_, b"METHOD_NOT_ALLOWED") => 405,
        (_, b"HEADERS_TOO_LARGE") => 431,
        (_, b"UNSUPPORTED_MEDIA_TYPE") => 415,
        (_, b"UPGRADE_REQUIRED") => 426,
        (b"INVALID_ARGUMENT", _) => 400,
        (b"UNAUTHENTICATED", _) => 401,
        (b"PERMISSION_DENIED", _) => 403,
        (b"NOT_FOUND", _) => 404,
        (b"ALREADY_EXISTS", _) => 409,
        (b"RESOURCE_EXHAUSTED", _) => 429,
        (b"UNAVAILABLE", _) => 503,
        (b"DEADLINE_EXCEEDED", _) => 504,
        _ => 500,
    }
}

/// The number of a gRPC code, as it stands in the JSON of a refusal.
pub fn number(code: &str) -> i32 {
    CODES.iter().find(|(name, _)| *name == code).map_or(Code::Internal, |(_, code)| *code) as i32
}

/// The refusals of a method.
pub fn refusals(comment: &str, who: Who, checked: bool, keyed: bool, public_service: bool) -> Vec<Refusal> {
    let mut refusals = named(comment);
    let mut add = |when: bool, reason: &str| {
        let found = COMMON.iter().filter(|common| when && common.reason == reason);
        refusals.extend(found.map(|common| refusal(common.code, common.reason, common.when)));
    };
    add(checked, "INVALID_FIELDS");
    add(keyed, "IDEMPOTENCY_KEY_REUSED");
    add(public_service && matches!(who, Who::SignedIn | Who::Role), "UNAUTHENTICATED");
    add(who == Who::Role, "ROLE_MISSING");
    refusals.dedup_by(|a, b| a.reason == b.reason);
    refusals
}

fn refusal(code: &'static str, reason: &str, text: &str) -> Refusal {
    let found = CODES.iter().find(|(name, _)| *name == code).map_or(Code::Unknown, |(_, code)| *code);
    Refusal { status: http_status(found), code, reason: reason.to_owned(), text: text.to_owned() }
}

/// Reasons stand in a comment as `EMAIL_TAKEN`, near the code they come with.
fn named(comment: &str) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for sentence in sentences(comment) {
        let mut code = None;
        for word in sentence.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '`')) {
            if let Some((name, _)) = CODES.iter().find(|(name, _)| *name == word) {
                code = Some(*name);
            } else if let (Some(code), Some(reason)) = (code, quoted(word)) {
                refusals.push(refusal(code, reason, sentence));
            }
        }
    }
    refusals
}

fn quoted(word: &str) -> Option<&str> {
    let inner = word.strip_prefix('`')?.strip_suffix('`')?;
    let reason = inner.contains('_')
        && inner.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    reason.then_some(inner)
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ").map(str::trim)
}

/// Whether anything of a service can be reached from outside.
pub fn is_public(service: &Service) -> bool {
    service.methods.iter().any(|method| method.access.is_public())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_found_beside_their_codes() {
        let comment = "Signs in. UNAUTHENTICATED (`BAD_CREDENTIALS`) when they do not match, RESOURCE_EXHAUSTED \
                       (`TOO_MANY_ATTEMPTS`) after many. Uses `display_name`.";
        let found: Vec<_> = named(comment).into_iter().map(|it| (it.status, it.code, it.reason)).collect();
        assert_eq!(
            found,
            [
                (401, "UNAUTHENTICATED", "BAD_CREDENTIALS".to_owned()),
                (429, "RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS".to_owned())
            ]
        );
    }
}
