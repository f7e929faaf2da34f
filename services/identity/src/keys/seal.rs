//! Private keys: made, sealed for storage, opened again. Nothing here prints one.

use anyhow::{Context as _, anyhow, ensure};
use artel_config::Secret;
use artel_util::Error;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// Seals with AES-256-GCM: a nonce, then what is sealed and its tag. A sealed key opens only under its own id.
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
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| anyhow!(hint))?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// A new key for this id: itself, and sealed.
    pub(crate) fn make(&self, id: &str) -> Result<(Pair, Vec<u8>), Error> {
        let failed = |_| Error::internal("the system gives no random numbers");
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.random).map_err(failed)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let mut sealed = document.as_ref().to_vec();
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(id), &mut sealed)
            .map_err(|_| Error::internal("a key cannot be sealed"))?;
        let pair = self.pair(document.as_ref()).ok_or_else(|| Error::internal("a new key cannot be read"))?;
        Ok((pair, [nonce.as_slice(), &sealed].concat()))
    }

    /// The key that was sealed for this id; `None` where it was sealed with another secret, for another id, or altered.
    pub(crate) fn open(&self, id: &str, sealed: &[u8]) -> Option<Pair> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let document = self.key.open_in_place(nonce, Aad::from(id), &mut opened).ok()?;
        self.pair(document)
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
        Ok(signature.map_err(|_| Error::internal("the system gives no random numbers"))?.as_ref().to_vec())
    }
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
    fn a_secret_that_is_none_is_refused_and_not_repeated() {
        for bad in ["", "abc", &"z".repeat(64), &"a".repeat(62)] {
            let error = format!("{:#}", Seal::new(&Secret::new(bad)).err().unwrap());
            assert!(error.contains("identity.key"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
