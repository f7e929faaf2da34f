//! What can be wrong with a sign-in, and what the person is told.

use std::time::Duration;

use artel_util::Error;
use tonic::Code;

/// Why somebody is not let in, or something about them is not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody registered with this address before.
    EmailTaken,
    /// No such person or not their password: from outside the two look the same.
    BadCredentials,
    /// Too many sign-ins failed; this long until another may be tried.
    TooManyAttempts(Duration),
    /// Too many passwords wait to be hashed.
    Busy,
    /// No refresh token of ours, or of a session that is no more.
    UnknownRefreshToken,
    /// The session was not refreshed in time.
    ExpiredRefreshToken,
    /// The token was traded before; its session is ended now.
    ReusedRefreshToken,
    /// The session was ended.
    SessionEnded,
    /// The account behind the token is no more.
    UserGone,
    /// Nobody has this address.
    UserNotFound,
    /// A service asks for what only operators may do.
    OperatorOnly,
    /// No phone number, or of a country that is not served.
    BadPhone,
    /// Too many codes were asked for; this long until another may be.
    TooManyCodes(Duration),
    /// Not the code, or one that is dead, used or expired: from outside they look the same.
    BadCode,
    /// There is no code that is to be sent.
    CodeNotFound,
    /// A service asks for a code that only `notify` may have.
    NotifyOnly,
    /// The same thing was changed under us again and again.
    Contended,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::EmailTaken => Self::new(
                Code::AlreadyExists,
                "EMAIL_TAKEN",
                "Somebody has registered with this e-mail address. Sign in, or use another address.",
            )
            .field("email", "is taken"),
            Refusal::BadCredentials => Self::unauthenticated(
                "BAD_CREDENTIALS",
                "E-mail address and password do not match. Check both, or register.",
            ),
            Refusal::TooManyAttempts(wait) => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_ATTEMPTS",
                format!("Too many sign-ins failed. Try again in {}.", in_words(wait)),
            )
            .retry_after(wait),
            Refusal::Busy => Self::new(
                Code::ResourceExhausted,
                "BUSY",
                "Very many people sign in at this moment. Try again in a few seconds.",
            )
            .retry_after(Duration::from_secs(2)),
            Refusal::UnknownRefreshToken => Self::unauthenticated(
                "REFRESH_TOKEN_UNKNOWN",
                "This is no refresh token of a session that is there. Sign in again.",
            ),
            Refusal::ExpiredRefreshToken => Self::unauthenticated(
                "REFRESH_TOKEN_EXPIRED",
                "The session has expired because it was not used for long. Sign in again.",
            ),
            Refusal::ReusedRefreshToken => Self::unauthenticated(
                "REFRESH_TOKEN_REUSED",
                "This refresh token was used before, so its session is ended in case it was stolen. Sign in again.",
            ),
            Refusal::SessionEnded => {
                Self::unauthenticated("SESSION_ENDED", "The session was ended. Sign in again.")
            }
            Refusal::UserGone => {
                Self::unauthenticated("USER_GONE", "The account is no more. Sign in with another, or register.")
            }
            Refusal::UserNotFound => Self::not_found(
                "USER_NOT_FOUND",
                "Nobody has registered with this e-mail address. Check it, or have the person register first.",
            )
            .field("email", "is not registered"),
            Refusal::OperatorOnly => Self::new(
                Code::PermissionDenied,
                "OPERATOR_ONLY",
                "Only an operator may do this: use the command `artel`.",
            ),
            Refusal::BadPhone => Self::invalid(
                "phone",
                "must be a mobile number of a country that is served, such as +7 701 123 45 67",
            ),
            Refusal::TooManyCodes(wait) => Self::new(
                Code::ResourceExhausted,
                "TOO_MANY_CODES",
                format!("Too many codes were asked for. Ask for another in {}.", in_words(wait)),
            )
            .retry_after(wait),
            Refusal::BadCode => Self::unauthenticated(
                "BAD_CODE",
                "The code does not match, or is no longer good. Check it, or ask for another.",
            ),
            Refusal::CodeNotFound => Self::not_found(
                "CODE_NOT_FOUND",
                "There is no such code that is to be sent: it is used, dead or expired. Send nothing.",
            ),
            Refusal::NotifyOnly => {
                Self::new(Code::PermissionDenied, "NOTIFY_ONLY", "Codes are told to `notify` alone.")
            }
            Refusal::Contended => {
                Self::new(Code::Aborted, "CONTENDED", "This was changed by others at the same time. Try again.")
            }
        }
    }
}

fn in_words(wait: Duration) -> String {
    match wait.as_secs_f64().ceil() {
        seconds if seconds > 90.0 => format!("{:.0} minutes", (seconds / 60.0).ceil()),
        seconds if seconds > 1.0 => format!("{seconds:.0} seconds"),
        _ => "a second".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_words() {
        for (millis, words) in [(10, "a second"), (89_500, "90 seconds"), (90_500, "2 minutes")] {
            assert_eq!(in_words(Duration::from_millis(millis)), words);
        }
    }
}
