//! Access tokens as identity signs them, and as forgers do.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use artel_proto::identity::JsonWebKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

/// A signing key.
#[derive(Clone)]
pub struct Key {
    id: String,
    private: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    pub fn new(id: &str) -> Self {
        let random = SystemRandom::new();
        let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private.as_ref(), &random).unwrap();
        Self {
            id: id.to_owned(),
            private: private.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
        }
    }

    /// As identity publishes it.
    pub fn public(&self) -> JsonWebKey {
        JsonWebKey {
            kty: "EC".into(),
            crv: "P-256".into(),
            kid: self.id.clone(),
            r#use: "sig".into(),
            alg: "ES256".into(),
            x: URL_SAFE_NO_PAD.encode(&self.public[1..33]),
            y: URL_SAFE_NO_PAD.encode(&self.public[33..]),
        }
    }

    /// A good token.
    pub fn token(&self) -> String {
        self.sign(claims())
    }

    pub fn sign(&self, claims: Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        encode(&header, &claims, &EncodingKey::from_ec_der(&self.private)).unwrap()
    }

    /// Signed with the public key as if it were a shared secret.
    pub fn confused(&self) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::HS256) };
        encode(&header, &claims(), &EncodingKey::from_secret(&self.public)).unwrap()
    }

    /// Says that it needs no signature.
    pub fn unsigned(&self) -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(json!({"alg": "none", "kid": self.id, "typ": "JWT"})), part(claims()))
    }
}

pub fn claims() -> Value {
    json!({
        "iss": "artel",
        "aud": "artel",
        "sub": "0195d3a8-6f3c-7e1a-9b58-0c6f5a1d2e3f",
        "exp": now() + 900,
        "workspace": "00000000-0000-7000-8000-000000000001",
        "roles": [],
    })
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
