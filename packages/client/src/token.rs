//! The signed statement that a call between services carries: which service calls, for whom, in which workspace.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::call::{Call, User};
use artel_trace::Trace;

/// The metadata key of a service call. Envoy strips it from whatever comes from outside.
pub const CALL_HEADER: &str = "x-artel-call";

const AUDIENCE: &str = "artel-mesh";
const LIFETIME: Duration = Duration::from_secs(60);
/// Least length of the shared key, in bytes.
const LEAST_KEY: usize = 32;

/// What is wrong with a key or a signed call.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The key is too short to be safe.
    #[error(
        "the mesh key has {0} bytes and must have at least {LEAST_KEY}; make one with `openssl rand -hex 32`"
    )]
    ShortKey(usize),
    /// The token is not ours, expired, or for others.
    #[error("the service call is not valid: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
}

/// The key that the mesh's services share to sign calls to each other.
#[derive(Clone)]
pub struct CallKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: u64,
    workspace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    locale: String,
}

impl CallKey {
    /// The key from its secret text.
    ///
    /// # Errors
    /// Where the secret is shorter than 32 bytes.
    pub fn new(secret: &str) -> Result<Self, TokenError> {
        if secret.len() < LEAST_KEY {
            return Err(TokenError::ShortKey(secret.len()));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.leeway = 5;
        Ok(Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
        })
    }

    /// Signs that `service` makes this call.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn sign(&self, service: &str, call: &Call) -> Result<String, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let user = call.user.as_ref();
        let claims = Claims {
            iss: service.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: (now + LIFETIME).as_secs(),
            workspace: call.workspace.clone(),
            sub: user.map(|user| user.id.clone()),
            roles: user.map(|user| user.roles.clone()).unwrap_or_default(),
            locale: user.map(|user| user.locale.clone()).unwrap_or_default(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)?)
    }

    /// The call behind a token: who makes it and for whom. Deadline and trace come from other headers.
    ///
    /// # Errors
    /// Where the token is not ours, expired, or for others.
    pub fn verify(&self, token: &str) -> Result<Call, TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)?.claims;
        Ok(Call {
            service: claims.iss,
            user: claims.sub.map(|id| User { id, roles: claims.roles, locale: claims.locale }),
            workspace: claims.workspace,
            deadline: None,
            trace: Trace::start(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_call_is_believed_only_when_signed_with_the_key() {
        let key = CallKey::new(SECRET).unwrap();
        let mut call = Call::by_service("x", "w");
        call.user = Some(User { id: "u".into(), roles: vec!["r".into()], locale: "kk".into() });
        let token = key.sign("order", &call).unwrap();
        let seen = key.verify(&token).unwrap();
        assert_eq!((seen.service.as_str(), seen.workspace.as_str(), seen.user), ("order", "w", call.user));
        assert!(CallKey::new("fedcba9876543210fedcba9876543210").unwrap().verify(&token).is_err());
        assert!(CallKey::new("short").is_err());
        let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        assert!(key.verify(&unsigned).is_err());
    }
}
