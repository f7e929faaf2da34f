//! What a person holds: an access token that says who they are for a while, a refresh token that is good once.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use artel_config::Secret;
use artel_handle::{Claims, Live};
use artel_proto::identity::User;
use artel_util::Error;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::keys::Keyring;
use crate::settings::Settings;

const ID: usize = 16;
const SECRET: usize = 32;
const TAG: usize = 32;
/// What the key of the tags is derived for.
const PURPOSE: &[u8] = b"artel identity refresh tokens";

/// Issues access tokens.
pub(crate) struct AccessTokens {
    keyring: Arc<Keyring>,
    settings: Live<Settings>,
    workspace: String,
}

/// Makes refresh tokens, and knows its own from what somebody made up.
pub(crate) struct RefreshTokens {
    key: hmac::Key,
    random: SystemRandom,
}

/// The id of a session, 256 random bits, and a tag that shows that it was given out here: a session's id is no secret,
/// and one who knows it must not be able to end it. Storage knows only the SHA-256. Never printed.
pub(crate) struct RefreshToken([u8; ID + SECRET + TAG]);

impl AccessTokens {
    pub(crate) fn new(keyring: Arc<Keyring>, settings: Live<Settings>, workspace: &str) -> Self {
        Self { keyring, settings, workspace: workspace.to_owned() }
    }

    /// A token that says who this is. It stays good until it expires, whatever happens to its session.
    pub(crate) async fn issue(&self, user: &User, session_id: &str) -> Result<String, Error> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            iss: "artel".to_owned(),
            aud: "artel".to_owned(),
            sub: user.id.clone(),
            iat: now.as_secs(),
            exp: (now + self.settings.get().access_token_lifetime()).as_secs(),
            sid: session_id.to_owned(),
            workspace: self.workspace.clone(),
            roles: user.roles.clone(),
            locale: user.locale.clone(),
        };
        self.keyring.sign(&claims).await
    }

    /// Seconds until a token that is issued now expires.
    pub(crate) fn expires_in(&self) -> i32 {
        i32::try_from(self.settings.get().access_token_lifetime().as_secs()).unwrap_or(i32::MAX)
    }
}

impl RefreshTokens {
    /// Under a key that is derived from the service's own.
    pub(crate) fn new(key: &Secret) -> Self {
        let own = hmac::Key::new(hmac::HMAC_SHA256, key.reveal().trim().as_bytes());
        let derived = hmac::sign(&own, PURPOSE);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()), random: SystemRandom::new() }
    }

    /// A new one for a session.
    pub(crate) fn issue(&self, session_id: &str) -> Result<RefreshToken, Error> {
        let id = Uuid::try_parse(session_id).map_err(Error::internal)?;
        let mut bytes = [0; ID + SECRET + TAG];
        bytes[..ID].copy_from_slice(id.as_bytes());
        self.random
            .fill(&mut bytes[ID..ID + SECRET])
            .map_err(|_| Error::internal("the system gives no random numbers"))?;
        let tag = hmac::sign(&self.key, &bytes[..ID + SECRET]);
        bytes[ID + SECRET..].copy_from_slice(tag.as_ref());
        Ok(RefreshToken(bytes))
    }

    /// Reads what a person sends; `None` where it was not given out here.
    pub(crate) fn read(&self, text: &str) -> Option<RefreshToken> {
        let bytes: [u8; ID + SECRET + TAG] = BASE64.decode(text).ok()?.try_into().ok()?;
        let (said, tag) = bytes.split_at(ID + SECRET);
        hmac::verify(&self.key, said, tag).ok()?;
        Some(RefreshToken(bytes))
    }
}

impl RefreshToken {
    /// The session it belongs to.
    pub(crate) fn session_id(&self) -> String {
        let mut id = [0; ID];
        id.copy_from_slice(&self.0[..ID]);
        Uuid::from_bytes(id).to_string()
    }

    /// What storage knows of it.
    pub(crate) fn digest(&self) -> Bytes {
        Sha256::digest(self.0).to_vec().into()
    }

    /// What the person is given.
    pub(crate) fn reveal(&self) -> String {
        BASE64.encode(self.0)
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RefreshToken(***)")
    }
}

#[cfg(test)]
mod tests {
    use artel_util::new_id;

    use super::*;

    #[test]
    fn a_refresh_token_names_its_session_and_is_never_the_same() {
        let tokens = RefreshTokens::new(&Secret::new("5e".repeat(32)));
        let id = new_id();
        let (one, other) = (tokens.issue(&id).unwrap(), tokens.issue(&id).unwrap());
        let text = one.reveal();
        assert_eq!(text.len(), 107);
        let back = tokens.read(&text).unwrap();
        assert_eq!((back.session_id(), back.digest()), (id, one.digest()));
        assert_ne!(one.digest(), other.digest());
        assert!(!format!("{one:?}").contains(&text[..8]));
        for bad in ["", "x", &text[1..], &format!("{text}A"), "ё", &text.replace(&text[..1], "+")] {
            assert!(tokens.read(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn one_that_was_not_given_out_here_is_none() {
        let tokens = RefreshTokens::new(&Secret::new("5e".repeat(32)));
        let id = new_id();
        let elsewhere = RefreshTokens::new(&Secret::new("5f".repeat(32))).issue(&id).unwrap();
        assert!(tokens.read(&elsewhere.reveal()).is_none());
        // A known session with a secret of one's own.
        let mut forged = tokens.issue(&id).unwrap().0;
        forged[ID] ^= 1;
        assert!(tokens.read(&BASE64.encode(forged)).is_none());
    }
}
