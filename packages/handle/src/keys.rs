//! The public keys of `identity`, and access tokens verified with them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::{Call, Channel, User};
use artel_proto::identity::identity_service_client::IdentityServiceClient;
use artel_proto::identity::{GetKeysRequest, JsonWebKey};
use artel_util::Error;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// How often at most the keys are fetched again because of a key id nobody knows.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// How long keys are believed without asking again.
const BELIEVED: Duration = Duration::from_secs(60);
/// For how long verified tokens are remembered: a signature check costs more than most requests.
const REMEMBERED_FOR: Duration = Duration::from_secs(30);

/// What an access token says. `iss` and `aud` are always `artel`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom it is.
    pub aud: String,
    /// The user's id.
    pub sub: String,
    /// When it was issued, in seconds since 1970.
    pub iat: u64,
    /// When it expires, in seconds since 1970.
    pub exp: u64,
    /// The session it belongs to.
    pub sid: String,
    /// The workspace the user works in.
    pub workspace: String,
    /// What the user may do.
    #[serde(default)]
    pub roles: Vec<String>,
    /// The language the user reads.
    #[serde(default)]
    pub locale: String,
}

/// Verifies access tokens with the keys that `identity` publishes. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    identity: Channel,
    service: Arc<str>,
    known: Arc<Mutex<Known>>,
    verified: Cache<String, Arc<Claims>>,
}

#[derive(Default)]
struct Known {
    keys: HashMap<String, DecodingKey>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl Keys {
    /// Keys fetched over a channel to `identity` when the first token comes. Remembers so many tokens.
    #[must_use]
    pub fn new(identity: Channel, service: &str, remembered: usize) -> Self {
        let verified = Cache::builder().max_capacity(remembered as u64).time_to_live(REMEMBERED_FOR).build();
        Self { identity, service: service.into(), known: Arc::default(), verified }
    }

    /// Who the token says that calls, and in which workspace.
    ///
    /// # Errors
    /// UNAUTHENTICATED where it is forged, expired, for others, or unsigned; UNAVAILABLE where no keys can be had.
    pub async fn verify(&self, token: &str) -> Result<(User, String), Error> {
        let claims = match self.verified.get(token) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.verify_signature(token).await?);
                self.verified.insert(token.to_owned(), Arc::clone(&claims));
                claims
            }
        };
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
        if claims.exp <= now {
            return Err(expired());
        }
        let user =
            User { id: claims.sub.clone(), roles: claims.roles.clone(), locale: claims.locale.clone() };
        Ok((user, claims.workspace.clone()))
    }

    /// Keys that are known already, so that a test needs no `identity`.
    #[cfg(test)]
    pub(crate) async fn learn(&self, keys: &[JsonWebKey]) {
        let mut known = self.known.lock().await;
        known.keys = keys.iter().filter_map(decoding_key).collect();
        known.fetched = Some(Instant::now());
        known.tried = Some(Instant::now() + Duration::from_secs(3600));
    }

    async fn verify_signature(&self, token: &str) -> Result<Claims, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| bad(&error.to_string()))?;
        if header.alg != Algorithm::ES256 {
            return Err(bad("the algorithm is not ES256"));
        }
        let kid = header.kid.ok_or_else(|| bad("it names no key"))?;
        let key = self.key(&kid).await?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = 0;
        validation.set_audience(&["artel"]);
        validation.set_issuer(&["artel"]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
            Ok(token) => Ok(token.claims),
            Err(error) if matches!(error.kind(), jsonwebtoken::errors::ErrorKind::ExpiredSignature) => {
                Err(expired())
            }
            Err(error) => Err(bad(&error.to_string())),
        }
    }

    /// The key of that id; the keys are fetched again when they are old or do not hold it.
    async fn key(&self, kid: &str) -> Result<DecodingKey, Error> {
        let mut known = self.known.lock().await;
        let fresh = known.fetched.is_some_and(|moment| moment.elapsed() < BELIEVED);
        if fresh && let Some(key) = known.keys.get(kid) {
            return Ok(key.clone());
        }
        if known.tried.is_none_or(|moment| moment.elapsed() >= LEAST_PAUSE) {
            known.tried = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    known.keys = keys;
                    known.fetched = Some(Instant::now());
                }
                // While `identity` is away, what was believed is believed on.
                Err(error) if known.fetched.is_some() => {
                    tracing::warn!(%error, "keys are not fetched; the old ones stay")
                }
                Err(error) => {
                    known.tried = None;
                    return Err(Error::unavailable(
                        "NO_KEYS",
                        "Tokens cannot be checked just now. Try again in a moment.",
                    )
                    .caused_by(error));
                }
            }
        }
        known.keys.get(kid).cloned().ok_or_else(|| bad("its key is not one of ours"))
    }

    async fn fetch(&self) -> Result<HashMap<String, DecodingKey>, Error> {
        let mut call = Call::by_service(&self.service, "");
        call.deadline = Some(Instant::now() + Duration::from_secs(3));
        let answer = IdentityServiceClient::new(self.identity.clone())
            .get_keys(call.request(GetKeysRequest {}))
            .await?;
        Ok(answer.into_inner().keys.iter().filter_map(decoding_key).collect())
    }
}

fn decoding_key(key: &JsonWebKey) -> Option<(String, DecodingKey)> {
    match DecodingKey::from_ec_components(&key.x, &key.y) {
        Ok(decoding) => Some((key.kid.clone(), decoding)),
        Err(error) => {
            tracing::error!(kid = key.kid, %error, "a published key cannot be read");
            None
        }
    }
}

fn bad(why: &str) -> Error {
    Error::unauthenticated("BAD_TOKEN", format!("The access token is not valid: {why}. Sign in again."))
}

fn expired() -> Error {
    Error::unauthenticated("TOKEN_EXPIRED", "The access token is expired. Refresh it or sign in again.")
}
