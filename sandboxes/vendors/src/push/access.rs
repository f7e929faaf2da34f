//! Who may send: whoever signs an assertion with the service account's key gets an access token for a while.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use uuid::Uuid;

const PUBLIC_KEY: &str = include_str!("service-account.pub.pem");
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

#[derive(Default)]
pub(super) struct Access(Mutex<HashMap<String, Instant>>);

#[derive(Deserialize)]
struct Claims {
    iss: String,
    scope: String,
    aud: String,
}

#[derive(Deserialize)]
struct Account {
    client_email: String,
}

impl Access {
    /// Gives a token for an assertion, or says what is wrong with it.
    pub fn grant(&self, assertion: &str, life: Duration) -> Result<String, String> {
        let said = |error: jsonwebtoken::errors::Error| error.to_string();
        let key = DecodingKey::from_rsa_pem(PUBLIC_KEY.as_bytes()).map_err(said)?;
        let mut validation = Validation::new(Algorithm::RS256);
        // Whatever address it was asked at: a token endpoint has many names.
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &validation).map_err(said)?.claims;
        let account: Account =
            serde_json::from_str(super::SERVICE_ACCOUNT).map_err(|error| error.to_string())?;
        if claims.iss != account.client_email || claims.aud.is_empty() {
            return Err("the assertion is not of this service account".to_owned());
        }
        if !claims.scope.split(' ').any(|scope| scope == SCOPE) {
            return Err(format!("the assertion must ask for {SCOPE}"));
        }
        let token = format!("ya29.{}", Uuid::new_v4().simple());
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.retain(|_, ends| *ends > Instant::now());
        tokens.insert(token.clone(), Instant::now() + life);
        Ok(token)
    }

    pub fn admits(&self, token: &str) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(token).is_some_and(|ends| *ends > Instant::now())
    }
}
