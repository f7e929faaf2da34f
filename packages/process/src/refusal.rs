//! A refusal that is kept, so that whoever asks again is told the same.

use artel_proto::Message as _;
use artel_proto::process::Saga;
use artel_util::Error;
use bytes::Bytes;
use tonic::{Code, Status};

/// What the caller of a saga that ended undone is told.
#[must_use]
pub fn refusal(saga: &Saga) -> Error {
    match tonic_types::Status::decode(saga.refusal.clone()) {
        Ok(kept) => {
            let code = Code::from_i32(kept.code);
            Status::with_details(code, kept.message, saga.refusal.clone()).into()
        }
        Err(unreadable) => Error::internal(unreadable),
    }
}

/// Keeps an error in the row.
pub(crate) fn keep(saga: &mut Saga, error: Error) {
    saga.reason = error.reason().to_owned();
    saga.error = error.message().to_owned();
    saga.refusal = Bytes::copy_from_slice(Status::from(error).details());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_is_said_again_word_for_word() {
        let mut saga = Saga::default();
        keep(
            &mut saga,
            Error::precondition("INGREDIENTS_SHORT", "no soup").with("dishId", "7").field("a", "b"),
        );
        let again = refusal(&saga);
        assert_eq!((again.code(), again.reason()), (Code::FailedPrecondition, "INGREDIENTS_SHORT"));
        assert_eq!((again.message(), again.get("dishId")), ("no soup", Some("7")));
        assert_eq!(again.fields()[0].field, "a");
    }
}
