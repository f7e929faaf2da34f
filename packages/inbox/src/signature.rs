use artel_config::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;

/// The hash of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1, which some senders still use; as an HMAC it is not broken.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, of either case.
    Hex,
    /// Base64 with padding.
    Base64,
    /// Base64 for URLs, without padding.
    Base64Url,
}

/// A signature that is not the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forged {
    /// There is none.
    #[error("there is no signature")]
    Missing,
    /// It is not written as the sender writes them.
    #[error("the signature cannot be read")]
    Unreadable,
    /// It is of something else, or by somebody else.
    #[error("the signature does not match")]
    Mismatch,
}

/// The check of a sender's HMAC: a shared secret over the raw bytes. Takes as long whatever is wrong.
#[derive(Debug, Clone)]
pub struct Signature {
    key: hmac::Key,
    encoding: Encoding,
    prefix: &'static str,
}

impl Signature {
    /// Signatures of that kind, by this secret.
    #[must_use]
    pub fn new(hash: Hash, encoding: Encoding, secret: &Secret) -> Self {
        let algorithm = match hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        Self { key: hmac::Key::new(algorithm, secret.reveal().as_bytes()), encoding, prefix: "" }
    }

    /// What stands before it: `sha256=`.
    #[must_use]
    pub fn after(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Checks the signature of a message in parts; most senders sign the body alone, some `[time, ".", body]`.
    ///
    /// # Errors
    /// Why it is not the sender's.
    pub fn check(&self, message: &[&[u8]], given: Option<&str>) -> Result<(), Forged> {
        let given = given.ok_or(Forged::Missing)?.trim();
        let text = given.strip_prefix(self.prefix).ok_or(Forged::Unreadable)?;
        let bytes = match self.encoding {
            Encoding::Hex => hex::decode(text).ok(),
            Encoding::Base64 => STANDARD.decode(text).ok(),
            Encoding::Base64Url => URL_SAFE_NO_PAD.decode(text).ok(),
        };
        let bytes = bytes.ok_or(Forged::Unreadable)?;
        hmac::verify(&self.key, &message.concat(), &bytes).map_err(|_| Forged::Mismatch)
    }

    /// Signs as the sender does: for its sandbox, and for tests.
    #[must_use]
    pub fn sign(&self, message: &[&[u8]]) -> String {
        let tag = hmac::sign(&self.key, &message.concat());
        let text = match self.encoding {
            Encoding::Hex => hex::encode(tag),
            Encoding::Base64 => STANDARD.encode(tag),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(tag),
        };
        format!("{}{text}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(hash: Hash, encoding: Encoding) -> Signature {
        Signature::new(hash, encoding, &Secret::new("Jefe"))
    }

    /// RFC 2202 (SHA-1) and RFC 4231 (SHA-2), test case 2.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let message: &[&[u8]] = &[b"what do ya want ", b"for nothing?"];
        for (hash, tag) in [
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Hash::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ] {
            assert_eq!(signature(hash, Encoding::Hex).check(message, Some(tag)), Ok(()));
            assert_eq!(signature(hash, Encoding::Hex).check(message, Some(&tag.to_uppercase())), Ok(()));
        }
        let long = signature(Hash::Sha512, Encoding::Hex).sign(message);
        assert!(
            long.starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"),
            "{long}"
        );
    }

    #[test]
    fn what_is_not_the_senders_is_told_apart() {
        let check = signature(Hash::Sha256, Encoding::Base64).after("v1=");
        let right = check.sign(&[b"body"]);
        assert_eq!(check.check(&[b"body"], Some(&right)), Ok(()));
        assert_eq!(check.check(&[b"bo", b"dy"], Some(&right)), Ok(()));
        for (message, given, forged) in [
            (b"bodY", Some(right.as_str()), Forged::Mismatch),
            (b"body", None, Forged::Missing),
            (b"body", Some(""), Forged::Unreadable),
            (b"body", Some("v1=?"), Forged::Unreadable),
            (b"body", Some("v1="), Forged::Mismatch),
            (b"body", Some(right.trim_start_matches("v1=")), Forged::Unreadable),
        ] {
            assert_eq!(check.check(&[message], given), Err(forged), "{given:?}");
        }
        let other = Signature::new(Hash::Sha256, Encoding::Base64, &Secret::new("another")).after("v1=");
        assert_eq!(other.check(&[b"body"], Some(&right)), Err(Forged::Mismatch));
    }
}
