//! The shapes of FCM's HTTP v1 API and of Google's tokens for service accounts.

use std::fmt;

use artel_config::Secret;
use jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};

/// A service account's key, as Google gives it out.
#[derive(Clone, Deserialize)]
pub(crate) struct Account {
    pub client_email: String,
    /// PKCS #8 in PEM.
    private_key: String,
    pub token_uri: String,
}

impl Account {
    /// Whether it can sign.
    pub fn is_good(&self) -> bool {
        self.signer().is_some() && reqwest::Url::parse(&self.token_uri).is_ok()
    }

    pub fn signer(&self) -> Option<EncodingKey> {
        EncodingKey::from_rsa_pem(self.private_key.as_bytes()).ok()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Account").field("client_email", &self.client_email).finish_non_exhaustive()
    }
}

/// What a service account says of itself for a token.
#[derive(Debug, Serialize)]
pub(super) struct Assertion<'a> {
    pub iss: &'a str,
    pub scope: &'a str,
    pub aud: &'a str,
    pub iat: u64,
    pub exp: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub access_token: Secret,
    /// Seconds.
    pub expires_in: u64,
}

/// The body of `messages:send`.
#[derive(Debug, Serialize)]
pub(super) struct Send<'a> {
    pub message: Target<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Target<'a> {
    pub token: &'a str,
    pub notification: Notice<'a>,
    pub data: Data<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Notice<'a> {
    pub title: &'a str,
    pub body: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data<'a> {
    pub subject_id: &'a str,
    pub event_type: &'a str,
}

/// An error as Google's APIs have it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Refused {
    #[serde(default)]
    pub error: Problem,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Problem {
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    #[serde(default, rename = "errorCode")]
    code: String,
}

impl Problem {
    /// FCM's own code: `UNREGISTERED`.
    pub fn code(&self) -> &str {
        self.details
            .iter()
            .map(|detail| detail.code.as_str())
            .find(|code| !code.is_empty())
            .unwrap_or_default()
    }
}
