//! Access tokens for a service account: got with a signed assertion, kept until shortly before they end.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use artel_config::Secret;
use form_urlencoded::Serializer;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::CONTENT_TYPE;
use tokio::sync::Mutex;

use super::wire::{Account, Assertion, Token};
use crate::http::{Failed, Http};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good. Google takes an hour at most.
const ASSERTED: Duration = Duration::from_secs(600);

/// The token of now. Whoever needs one while none is there waits for the one that is being got.
pub(super) struct Tokens {
    account: Account,
    key: EncodingKey,
    held: Mutex<Option<Held>>,
}

struct Held {
    token: Secret,
    renew: Instant,
}

impl Tokens {
    pub fn new(account: Account) -> anyhow::Result<Self> {
        let key = account.signer().ok_or_else(|| anyhow::anyhow!("notify.push.key cannot sign"))?;
        Ok(Self { account, key, held: Mutex::default() })
    }

    /// A token that is good for some time yet. Without one nothing was begun.
    pub async fn get(&self, http: &Http) -> Result<Secret, String> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.renew) {
            return Ok(held.token.clone());
        }
        *held = None;
        let Token { access_token, expires_in } =
            self.ask(http).await.map_err(|error| format!("no access token: {error}"))?;
        // A tenth of its life early, so that it does not end on the way.
        let renew = Instant::now() + Duration::from_secs(expires_in).mul_f64(0.9);
        *held = Some(Held { token: access_token.clone(), renew });
        Ok(access_token)
    }

    /// They did not take this one: the next asks for another.
    pub async fn forget(&self, token: &Secret) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| held.token == *token) {
            *held = None;
        }
    }

    async fn ask(&self, http: &Http) -> Result<Token, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let assertion = Assertion {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud: &self.account.token_uri,
            iat: now.as_secs(),
            exp: (now + ASSERTED).as_secs(),
        };
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &assertion, &self.key)
            .map_err(|error| error.to_string())?;
        let form = Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let request = http.client.post(&self.account.token_uri);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let reply = http.send(request).await.map_err(Failed::text)?;
        if !reply.status.is_success() {
            return Err(format!("answered {}", reply.status));
        }
        reply.read().map_err(Failed::text)
    }
}
