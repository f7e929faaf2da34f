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

/// The refusals of a method.
pub fn refusals(comment: &str, who: Who, checked: bool, keyed: bool, public_service: bool) -> Vec<Refusal> {
    let mut refusals = named(comment);
    if checked {
        refusals.push(refusal(
            "INVALID_ARGUMENT",
            "INVALID_FIELDS",
            "A field is wrong; `BadRequest` names each.",
        ));
    }
    if keyed {
        let text = "The idempotency key was used for another request.";
        refusals.push(refusal("ALREADY_EXISTS", "IDEMPOTENCY_KEY_REUSED", text));
    }
    if public_service && matches!(who, Who::SignedIn | Who::Role) {
        refusals.push(refusal(
            "UNAUTHENTICATED",
            "UNAUTHENTICATED",
            "There is no access token, or it is not good.",
        ));
    }
    if who == Who::Role {
        refusals.push(refusal("PERMISSION_DENIED", "ROLE_MISSING", "The caller does not have the role."));
    }
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
