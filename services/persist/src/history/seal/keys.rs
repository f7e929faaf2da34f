use anyhow::{Context as _, ensure};
use artel_config::Secret;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// What signs seals, and whose signatures are trusted.
pub(crate) struct Keys {
    pair: Ed25519KeyPair,
    trusted: Vec<Vec<u8>>,
}

impl Keys {
    /// The key that signs, 32 bytes in hex, and the public keys of those that signed before it.
    ///
    /// # Errors
    /// Where one of them is no key.
    pub(crate) fn new(secret: &Secret, former: &[String]) -> anyhow::Result<Self> {
        let hint = "persist.seal_key must be 32 bytes in hex; make one with `openssl rand -hex 32` and name its file in \
                    persist.seal_key_file";
        ensure!(!secret.is_empty(), "persist.seal_key is not set: {hint}");
        // What is wrong with it is not said: that would print it.
        let seed = hex::decode(secret.reveal().trim()).ok().context(hint)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok().context(hint)?;
        let mut trusted = vec![pair.public_key().as_ref().to_vec()];
        for key in former {
            let bytes = hex::decode(key).ok().filter(|bytes| bytes.len() == 32);
            trusted.push(bytes.with_context(|| {
                format!("persist.seal_former_keys: `{key}` is no public key of 32 bytes in hex")
            })?);
        }
        Ok(Self { pair, trusted })
    }

    /// The public key that belongs to what it signs.
    pub(super) fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }

    /// True where a trusted key signed it.
    pub(super) fn verifies(&self, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
        self.trusted.iter().any(|trusted| trusted == public)
            && UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seed: &str, former: &[String]) -> anyhow::Result<Keys> {
        Keys::new(&Secret::new(seed), former)
    }

    #[test]
    fn a_bad_key_is_refused_by_name_and_not_shown() {
        let short = "abcd".repeat(8);
        for bad in ["", "zz", &short, &"x".repeat(64)] {
            let refused = keys(bad, &[]).err().unwrap().to_string();
            assert!(refused.contains("persist.seal_key"), "{refused}");
            assert!(bad.is_empty() || bad == "zz" || !refused.contains(bad), "{refused}");
        }
        let refused = keys(&"ab".repeat(32), &["00".into()]).err().unwrap().to_string();
        assert!(refused.contains("persist.seal_former_keys"), "{refused}");
    }

    #[test]
    fn only_trusted_keys_verify() {
        let (old, new) = (keys(&"ab".repeat(32), &[]).unwrap(), keys(&"cd".repeat(32), &[]).unwrap());
        let signature = old.sign(b"seal");
        assert!(old.verifies(old.public(), b"seal", &signature));
        assert!(!old.verifies(old.public(), b"soil", &signature));
        assert!(!new.verifies(old.public(), b"seal", &signature));
        let after = keys(&"cd".repeat(32), &[hex::encode(old.public())]).unwrap();
        assert!(after.verifies(old.public(), b"seal", &signature));
        assert!(!after.verifies(new.public(), b"seal", &signature));
    }
}
