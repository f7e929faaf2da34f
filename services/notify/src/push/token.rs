//! Access tokens for a service account: got with a signed assertion, kept until shortly before they end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artel_config::Secret;
use artel_outside::{Failed, Http, Issued, Tokens};
use form_urlencoded::Serializer;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::CONTENT_TYPE;

use super::wire;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good. Google takes an hour at most.
const ASSERTED: Duration = Duration::from_secs(600);

/// The tokens of a service account.
pub(super) struct Account {
    account: wire::Account,
    key: EncodingKey,
    tokens: Tokens,
}

impl Account {
    pub fn new(account: wire::Account) -> anyhow::Result<Self> {
        let key = account.signer().ok_or_else(|| anyhow::anyhow!("notify.push.key cannot sign"))?;
        Ok(Self { account, key, tokens: Tokens::default() })
    }

    /// A token that is good for some time yet. Without one nothing was begun.
    pub async fn token(&self, http: &Http) -> Result<Secret, String> {
        self.tokens.get(self.ask(http)).await.map_err(Failed::text)
    }

    /// They did not take this one: the next asks for another.
    pub async fn forget(&self, token: &Secret) {
        self.tokens.drop(token).await;
    }

    async fn ask(&self, http: &Http) -> Result<Issued, Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let assertion = wire::Assertion {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud: &self.account.token_uri,
            iat: now.as_secs(),
            exp: (now + ASSERTED).as_secs(),
        };
        let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &assertion, &self.key)
            .map_err(|error| Failed::NotDone(error.to_string()))?;
        let form = Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        let request = http.client().post(&self.account.token_uri);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let reply = http.send(request).await?;
        if !reply.status.is_success() {
            return Err(Failed::NotDone(format!("answered {}", reply.status)));
        }
        let wire::Token { access_token, expires_in } = reply.read()?;
        Ok(Issued { token: access_token, lasts: Duration::from_secs(expires_in) })
    }
}
