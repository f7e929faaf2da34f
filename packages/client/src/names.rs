//! What a request is called outside, so that people can ask what became of it.

use std::sync::Arc;

/// The header that names a request. Envoy makes it, or takes the caller's.
pub const REQUEST_ID: &str = "x-request-id";
/// The header that names what a request is part of: a purchase, an import. The caller's, or the request's own name.
pub const CORRELATION_ID: &str = "x-correlation-id";

/// Longest name that is taken, in bytes.
const LONGEST: usize = 128;

/// A name as Envoy lets it through: letters, digits and `._~:/+=-`, the first a letter or a digit, 128 at most. Others
/// are no names, so that none can be anything else in a log.
#[must_use]
pub fn name(text: &str) -> Option<Arc<str>> {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || b"._~:/+=-".contains(&byte);
    let first = text.as_bytes().first()?.is_ascii_alphanumeric();
    (first && text.len() <= LONGEST && text.bytes().all(sane)).then(|| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_can_stand_in_a_log() {
        for good in ["a", "order-17/retry:2", "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f", &"x".repeat(128)] {
            assert_eq!(name(good).as_deref(), Some(good));
        }
        for bad in ["", "-a", "a b", "a\"b", "ы", "a\n", &"x".repeat(129)] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }
}
