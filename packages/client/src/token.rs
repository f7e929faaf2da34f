//! The signed statement that a call between services carries: which service calls, for whom, in which workspace.

use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artel_trace::Trace;
use http::HeaderValue;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::call::{Call, User};
use crate::remembered::{Remembered, Tail};

/// The metadata key of a service call. Envoy strips it from whatever comes from outside.
pub const CALL_HEADER: &str = "x-artel-call";

const AUDIENCE: &str = "artel-mesh";
const LIFETIME: Duration = Duration::from_secs(60);
/// How many signed statements are remembered, made and verified ones each, and for how long (once or twice): the same
/// caller asks for the same person again and again, and a signature costs more than all else of a call. What is sent
/// must be good for a while yet.
const REMEMBERED: usize = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
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

/// The key that the mesh's services share to sign calls to each other. Cheap to clone.
#[derive(Clone)]
pub struct CallKey(Arc<Inner>);

struct Inner {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    signed: Remembered<String, HeaderValue>,
    verified: Remembered<String, (Arc<Call>, u64), BuildHasherDefault<Tail>>,
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
        Self::remembering(secret, REMEMBERED)
    }

    /// The same, that remembers so many calls it signed and so many it verified.
    ///
    /// # Errors
    /// Where the secret is shorter than 32 bytes.
    pub fn remembering(secret: &str, most: usize) -> Result<Self, TokenError> {
        if secret.len() < LEAST_KEY {
            return Err(TokenError::ShortKey(secret.len()));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.leeway = 5;
        Ok(Self(Arc::new(Inner {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            signed: Remembered::new(most, REMEMBERED_FOR),
            verified: Remembered::new(most, REMEMBERED_FOR),
        })))
    }

    /// The header that says that `service` makes this call. The same as a moment ago where the call is for the same.
    pub(crate) fn header(&self, service: &str, call: &Call) -> Result<HeaderValue, SignError> {
        let what = signed(service, call);
        if let Some(header) = self.0.signed.get(&what) {
            return Ok(header);
        }
        let header = HeaderValue::try_from(self.sign(service, call)?)?;
        self.0.signed.insert(what, header.clone());
        Ok(header)
    }

    /// Signs that `service` makes this call.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    pub fn sign(&self, service: &str, call: &Call) -> Result<String, TokenError> {
        let user = call.user.as_ref();
        let claims = Claims {
            iss: service.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: now() + LIFETIME.as_secs(),
            workspace: call.workspace.clone(),
            sub: user.map(|user| user.id.clone()),
            roles: user.map(|user| user.roles.clone()).unwrap_or_default(),
            locale: user.map(|user| user.locale.clone()).unwrap_or_default(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.0.encoding)?)
    }

    /// The call behind a token: who makes it and for whom. Deadline and trace come from other headers.
    ///
    /// # Errors
    /// Where the token is not ours, expired, or for others.
    pub fn verify(&self, token: &str) -> Result<Call, TokenError> {
        let call = match self.0.verified.get(token) {
            Some((call, expires)) if expires > now() => call,
            _ => {
                let (call, expires) = self.verify_signature(token)?;
                self.0.verified.insert(token.to_owned(), (Arc::clone(&call), expires));
                call
            }
        };
        Ok(Call { trace: Trace::start(), ..Call::clone(&call) })
    }

    /// The call, and when its statement expires.
    fn verify_signature(&self, token: &str) -> Result<(Arc<Call>, u64), TokenError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.0.decoding, &self.0.validation)?.claims;
        let call = Call {
            service: claims.iss,
            user: claims.sub.map(|id| User { id, roles: claims.roles, locale: claims.locale }),
            workspace: claims.workspace,
            deadline: None,
            trace: Trace::start(),
            request_id: None,
            correlation: None,
        };
        Ok((Arc::new(call), claims.exp))
    }
}

/// Why a call cannot be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the signed call is no header: {0}")]
    Header(#[from] http::header::InvalidHeaderValue),
}

/// All that a statement says, with what cannot stand in a name between.
fn signed(service: &str, call: &Call) -> String {
    let mut what = String::with_capacity(128);
    let user = call.user.as_ref();
    let parts = [service, &call.workspace].into_iter();
    let person = user.into_iter().flat_map(|user| [user.id.as_str(), &user.locale]);
    let roles = user.into_iter().flat_map(|user| &user.roles).map(String::as_str);
    for part in parts.chain(person).chain(roles) {
        what.push_str(part);
        what.push('\0');
    }
    what
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
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

    #[test]
    fn a_statement_made_for_one_is_not_used_for_another() {
        let key = CallKey::new(SECRET).unwrap();
        let person = |id: &str, roles: &[&str]| {
            let roles = roles.iter().map(|role| (*role).to_owned()).collect();
            let user = User { id: id.into(), roles, locale: "ru".into() };
            Call { user: Some(user), ..Call::by_service("x", "w") }
        };
        let calls = [
            Call::by_service("x", "w"),
            Call::by_service("x", "v"),
            person("u", &[]),
            person("u", &["r"]),
            person("u", &["r", "s"]),
            person("ur", &[]),
        ];
        // The second time they are remembered.
        for _ in 0..2 {
            for call in &calls {
                for service in ["order", "notify"] {
                    let header = key.header(service, call).unwrap();
                    let seen = key.verify(header.to_str().unwrap()).unwrap();
                    assert_eq!((seen.service.as_str(), &seen.workspace), (service, &call.workspace));
                    assert_eq!(seen.user, call.user);
                }
            }
        }
    }

    #[test]
    fn what_was_believed_once_is_not_believed_for_ever() {
        let key = CallKey::new(SECRET).unwrap();
        let token = key.sign("order", &Call::by_service("x", "w")).unwrap();
        let call = Arc::new(key.verify(&token).unwrap());
        key.0.verified.insert(token.clone(), (Arc::clone(&call), now() - 1));
        assert!(key.verify(&token).is_ok(), "it is good in itself");
        key.0.verified.insert("forged".into(), (call, now()));
        assert!(key.verify("forged").is_err(), "remembered past its end");
    }
}
