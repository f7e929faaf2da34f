//! Access tokens, which say who somebody is for a while.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use artel_handle::{Claims, Live};
use artel_proto::identity::User;
use artel_util::Error;

use crate::keys::Keyring;
use crate::settings::Settings;

/// Issues access tokens.
pub(crate) struct AccessTokens {
    keyring: Arc<Keyring>,
    settings: Live<Settings>,
    workspace: String,
}

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
