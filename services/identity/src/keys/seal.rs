//! Private keys and other secrets: made, sealed for storage, opened again. Nothing here prints one.

use anyhow::{Context as _, anyhow, ensure};
use artel_config::Secret;
use artel_util::Error;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// Seals with AES-256-GCM: a nonce, then what is sealed and its tag. What is sealed opens only under its own id.
pub(crate) struct Seal {
    key: LessSafeKey,
    random: SystemRandom,
}

/// A private key and what belongs to it.
pub(crate) struct Pair {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Seal {
    /// # Errors
    /// Where the secret is not 32 bytes in hex.
    pub(crate) fn new(secret: &Secret) -> anyhow::Result<Self> {
        let hint = "identity.key must be 32 bytes in hex; make one with `openssl rand -hex 32` and name its file in \
                    identity.key_file";
        ensure!(!secret.is_empty(), "identity.key is not set: {hint}");
        // What is wrong with it is not said: that would print it.
        let bytes = hex::decode(secret.reveal().trim()).ok().context(hint)?;
        ensure!(bytes.len() == AES_256_GCM.key_len(), hint);
        Self::with(&bytes).context(hint)
    }

    /// Under a key that is derived from the secret for this purpose.
    pub(crate) fn derived(secret: &Secret, purpose: &str) -> anyhow::Result<Self> {
        Self::with(derived(secret, purpose).as_ref())
    }

    fn with(key: &[u8]) -> anyhow::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| anyhow!("the key must have 32 bytes"))?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Seals for this id.
    pub(crate) fn close(&self, id: &str, opened: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| no_random())?;
        let mut sealed = opened.to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut sealed)
            .map_err(|_| Error::internal("a secret cannot be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What was sealed for this id; `None` where it was sealed with another secret, for another id, or altered.
    pub(crate) fn reveal(&self, id: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(id), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }

    /// A new key for this id: itself, and sealed.
    pub(crate) fn make(&self, id: &str) -> Result<(Pair, Vec<u8>), Error> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random)
            .map_err(|_| no_random())?;
        let pair = self.pair(document.as_ref()).ok_or_else(|| Error::internal("a new key cannot be read"))?;
        Ok((pair, self.close(id, document.as_ref())?))
    }

    /// The key that was sealed for this id; `None` where [`Seal::reveal`] says so.
    pub(crate) fn open(&self, id: &str, sealed: &[u8]) -> Option<Pair> {
        self.pair(&self.reveal(id, sealed)?)
    }

    fn pair(&self, document: &[u8]) -> Option<Pair> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &self.random).ok()?;
        Some(Pair { pair, random: self.random.clone() })
    }
}

impl Pair {
    /// The public point, uncompressed.
    pub(crate) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The signature as JOSE has it: r and s, 32 bytes each.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.pair.sign(&self.random, message);
        Ok(signature.map_err(|_| no_random())?.as_ref().to_vec())
    }
}

/// A key for one purpose, made from the service's own.
pub(crate) fn derived(secret: &Secret, purpose: &str) -> hmac::Tag {
    let own = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().trim().as_bytes());
    hmac::sign(&own, purpose.as_bytes())
}

fn no_random() -> Error {
    Error::internal("the system gives no random numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(digit: &str) -> Seal {
        Seal::new(&Secret::new(digit.repeat(64))).unwrap()
    }

    #[test]
    fn a_sealed_key_opens_with_its_secret_and_id_alone() {
        let (pair, sealed) = seal("a").make("one").unwrap();
        assert_eq!(seal("a").open("one", &sealed).unwrap().public(), pair.public());
        assert!(seal("b").open("one", &sealed).is_none());
        assert!(seal("a").open("two", &sealed).is_none());
        let mut altered = sealed.clone();
        altered[20] ^= 1;
        assert!(seal("a").open("one", &altered).is_none());
        assert!(seal("a").open("one", &[]).is_none());
        assert!(!sealed.windows(32).any(|window| pair.public().windows(32).any(|own| own == window)));
    }

    #[test]
    fn what_is_sealed_for_a_purpose_opens_for_no_other() {
        let secret = Secret::new("a".repeat(64));
        let codes = Seal::derived(&secret, "codes").unwrap();
        let sealed = codes.close("one", b"123456").unwrap();
        assert_eq!(codes.reveal("one", &sealed).as_deref(), Some(b"123456".as_slice()));
        assert!(codes.reveal("two", &sealed).is_none());
        assert!(Seal::derived(&secret, "others").unwrap().reveal("one", &sealed).is_none());
        assert!(Seal::new(&secret).unwrap().reveal("one", &sealed).is_none());
        assert_ne!(codes.close("one", b"123456").unwrap(), sealed, "another nonce each time");
    }

    #[test]
    fn a_secret_that_is_none_is_refused_and_not_repeated() {
        for bad in ["", "abc", &"z".repeat(64), &"a".repeat(62)] {
            let error = format!("{:#}", Seal::new(&Secret::new(bad)).err().unwrap());
            assert!(error.contains("identity.key"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
