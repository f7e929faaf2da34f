//! Tokens that mean nothing to whoever holds them: they name a row, and storage knows them by their digest.

use std::fmt;

use artel_config::Secret;
use artel_util::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::keys::derived;

const ID: usize = 16;
const SECRET: usize = 32;
const TAG: usize = 32;

/// Makes tokens for one purpose, and knows its own from what somebody made up or holds for another purpose.
pub(crate) struct OpaqueTokens {
    key: hmac::Key,
    random: SystemRandom,
}

/// The id of a row, 256 random bits, and a tag that shows that it was given out here: a row's id is no secret, and one who
/// knows it must not be able to do anything to it. Storage knows only the SHA-256. Never printed.
pub(crate) struct OpaqueToken([u8; ID + SECRET + TAG]);

impl OpaqueTokens {
    /// Under a key that is derived from the service's own for this purpose.
    pub(crate) fn new(key: &Secret, purpose: &str) -> Self {
        let key = derived(key, purpose);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), random: SystemRandom::new() }
    }

    /// A new one for a row.
    pub(crate) fn issue(&self, id: &str) -> Result<OpaqueToken, Error> {
        let id = Uuid::try_parse(id).map_err(Error::internal)?;
        let mut bytes = [0; ID + SECRET + TAG];
        bytes[..ID].copy_from_slice(id.as_bytes());
        self.random
            .fill(&mut bytes[ID..ID + SECRET])
            .map_err(|_| Error::internal("the system gives no random numbers"))?;
        let tag = hmac::sign(&self.key, &bytes[..ID + SECRET]);
        bytes[ID + SECRET..].copy_from_slice(tag.as_ref());
        Ok(OpaqueToken(bytes))
    }

    /// Reads what a person sends; `None` where it was not given out here for this. The tag is compared in constant time.
    pub(crate) fn read(&self, text: &str) -> Option<OpaqueToken> {
        let bytes: [u8; ID + SECRET + TAG] = BASE64.decode(text).ok()?.try_into().ok()?;
        let (said, tag) = bytes.split_at(ID + SECRET);
        hmac::verify(&self.key, said, tag).ok()?;
        Some(OpaqueToken(bytes))
    }
}

impl OpaqueToken {
    /// The row it belongs to.
    pub(crate) fn id(&self) -> String {
        let mut id = [0; ID];
        id.copy_from_slice(&self.0[..ID]);
        Uuid::from_bytes(id).to_string()
    }

    /// What storage knows of it.
    pub(crate) fn digest(&self) -> Bytes {
        Sha256::digest(self.0).to_vec().into()
    }

    /// Whether this is the one that storage knows by the digest; compared in constant time.
    pub(crate) fn is(&self, digest: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.digest().ct_eq(digest).into()
    }

    /// What the person is given.
    pub(crate) fn reveal(&self) -> String {
        BASE64.encode(self.0)
    }
}

impl fmt::Debug for OpaqueToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("OpaqueToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use artel_util::new_id;

    use super::*;

    fn tokens(digits: &str, purpose: &str) -> OpaqueTokens {
        OpaqueTokens::new(&Secret::new(digits.repeat(32)), purpose)
    }

    #[test]
    fn a_token_names_its_row_and_is_never_the_same() {
        let tokens = tokens("5e", "sessions");
        let id = new_id();
        let (one, other) = (tokens.issue(&id).unwrap(), tokens.issue(&id).unwrap());
        let text = one.reveal();
        assert_eq!(text.len(), 107);
        let back = tokens.read(&text).unwrap();
        assert_eq!((back.id(), back.digest()), (id, one.digest()));
        assert_ne!(one.digest(), other.digest());
        assert!(back.is(&one.digest()) && !back.is(&other.digest()) && !back.is(b""));
        assert!(!format!("{one:?}").contains(&text[..8]));
        for bad in ["", "x", &text[1..], &format!("{text}A"), "ё", &text.replace(&text[..1], "+")] {
            assert!(tokens.read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn one_that_was_not_given_out_here_is_none() {
        let ours = tokens("5e", "sessions");
        let id = new_id();
        let elsewhere = tokens("5f", "sessions").issue(&id).unwrap();
        assert!(ours.read(&elsewhere.reveal()).is_none());
        let for_something_else = tokens("5e", "devices").issue(&id).unwrap();
        assert!(ours.read(&for_something_else.reveal()).is_none());
        // A known row with a secret of one's own.
        let mut forged = ours.issue(&id).unwrap().0;
        forged[ID] ^= 1;
        assert!(ours.read(&BASE64.encode(forged)).is_none());
    }
}
