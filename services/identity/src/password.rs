//! Passwords: argon2id, a few at a time, and as long for somebody unknown as for somebody known.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use artel_client::Call;
use artel_util::Error;
use tokio::sync::Semaphore;

use crate::refusal::Refusal;
use crate::settings::Hashing;
use crate::workers::Workers;

/// Hashes and verifies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Passwords {
    argon2: Argon2<'static>,
    /// What is verified for somebody who is not there.
    dummy: Arc<str>,
    /// One for each worker.
    turns: Arc<Semaphore>,
    workers: Workers,
    wait: Duration,
}

/// What a password was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is the one.
    pub(crate) matches: bool,
    /// It is, and its hash was made with other parameters than are asked for now.
    pub(crate) outdated: bool,
}

impl Passwords {
    /// # Errors
    /// Where argon2 cannot work with the parameters.
    pub(crate) async fn new(settings: &Hashing) -> anyhow::Result<Self> {
        let params = Params::new(settings.memory_kib, settings.iterations, settings.lanes, None)
            .map_err(|error| anyhow::anyhow!("identity.password: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        // A hash uses a processor and 19 MiB: more at once than there are processors would only be slower.
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let workers = Workers::start(processors)?;
        let hasher = argon2.clone();
        let dummy = workers
            .run(move || hash(&hasher, "nobody's"))
            .await?
            .context("argon2 does not work with the parameters in identity.password")?;
        let turns = Arc::new(Semaphore::new(processors));
        Ok(Self { argon2, dummy: dummy.into(), turns, workers, wait: settings.wait() })
    }

    /// The hash of a new password, in PHC form.
    pub(crate) async fn hash(&self, call: &Call, password: &str) -> Result<String, Error> {
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        self.in_turn(call, move || hash(&argon2, &password)).await
    }

    /// Whether the password belongs to the hash. Without a hash it does not, after the same time.
    pub(crate) async fn verify(
        &self,
        call: &Call,
        password: &str,
        known: Option<&str>,
    ) -> Result<Verdict, Error> {
        let (argon2, password) = (self.argon2.clone(), password.to_owned());
        let (there, against) = (known.is_some(), known.unwrap_or(&self.dummy).to_owned());
        self.in_turn(call, move || {
            let against = PasswordHash::new(&against)?;
            let matches = match argon2.verify_password(password.as_bytes(), &against) {
                Ok(()) => there,
                Err(password_hash::Error::PasswordInvalid) => false,
                Err(error) => return Err(error),
            };
            Ok(Verdict { matches, outdated: matches && is_outdated(&argon2, &against)? })
        })
        .await
    }

    /// Works when a processor is free. Whoever stops waiting gives no turn away that is used.
    async fn in_turn<T: Send + 'static>(
        &self,
        call: &Call,
        work: impl FnOnce() -> password_hash::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let wait = call.time_left(self.wait);
        let turn = tokio::time::timeout(wait, Arc::clone(&self.turns).acquire_owned())
            .await
            .map_err(|_| Refusal::Busy)?
            .map_err(Error::internal)?;
        self.workers
            .run(move || {
                let done = work();
                drop(turn);
                done
            })
            .await
            .map_err(Error::internal)?
            .map_err(|error| Error::internal(error.to_string()))
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> password_hash::Result<String> {
    Ok(argon2.hash_password(password.as_bytes())?.to_string())
}

fn is_outdated(argon2: &Argon2<'_>, hash: &PasswordHash) -> password_hash::Result<bool> {
    let (made, wanted) = (Params::try_from(hash)?, argon2.params());
    let same = (made.m_cost(), made.t_cost(), made.p_cost())
        == (wanted.m_cost(), wanted.t_cost(), wanted.p_cost())
        && hash.algorithm == Algorithm::Argon2id.ident();
    Ok(!same)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use artel_config::Config;

    use super::*;
    use crate::settings::{DEFAULTS, Settings};

    fn settings(text: &str) -> Hashing {
        let settings: Settings = Config::parse(text).unwrap().section("identity", DEFAULTS).unwrap();
        settings.password
    }

    fn call() -> Call {
        Call::by_service("", "w")
    }

    #[tokio::test]
    async fn a_password_is_known_again_and_no_other() {
        let passwords = Passwords::new(&settings("")).await.unwrap();
        let hash = passwords.hash(&call(), "correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = async |password: &str, hash: Option<&str>| {
            passwords.verify(&call(), password, hash).await.unwrap()
        };
        assert_eq!(verify("correct horse", Some(&hash)).await, Verdict { matches: true, outdated: false });
        assert!(!verify("correct horse ", Some(&hash)).await.matches);
        assert!(!verify("", Some(&hash)).await.matches);
        // Not even the password of the dummy lets in somebody who is not there.
        assert!(!verify("nobody's", None).await.matches);
        assert_ne!(hash, passwords.hash(&call(), "correct horse").await.unwrap(), "salted");
        assert!(passwords.verify(&call(), "x", Some("no hash")).await.is_err());
    }

    #[tokio::test]
    async fn a_hash_of_other_parameters_is_good_and_outdated() {
        let old = Passwords::new(&settings("[identity.password]\nmemory_kib = 8192")).await.unwrap();
        let hash = old.hash(&call(), "correct horse").await.unwrap();
        let new = Passwords::new(&settings("")).await.unwrap();
        let verdict = new.verify(&call(), "correct horse", Some(&hash)).await.unwrap();
        assert_eq!(verdict, Verdict { matches: true, outdated: true });
        assert!(!new.verify(&call(), "wrong", Some(&hash)).await.unwrap().outdated);
    }

    #[tokio::test]
    async fn who_cannot_have_a_turn_in_time_is_refused() {
        let passwords = Passwords::new(&settings("[identity.password]\nwait_ms = 20")).await.unwrap();
        let all = u32::try_from(passwords.turns.available_permits()).unwrap();
        let turns = Arc::clone(&passwords.turns).acquire_many_owned(all).await.unwrap();
        let error = passwords.hash(&call(), "correct horse").await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (tonic::Code::ResourceExhausted, "BUSY"));
        // Nobody waits longer than their caller does.
        let hurried = Call { deadline: Some(Instant::now()), ..call() };
        assert!(passwords.hash(&hurried, "correct horse").await.is_err());
        drop(turns);
        passwords.hash(&call(), "correct horse").await.unwrap();
    }

    #[tokio::test]
    async fn parameters_that_argon2_cannot_work_with_are_refused() {
        let error = Passwords::new(&settings("[identity.password]\nmemory_kib = 1")).await.err().unwrap();
        assert!(error.to_string().contains("identity.password"), "{error}");
    }
}
