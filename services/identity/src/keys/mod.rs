//! The keys that sign access tokens: kept in storage, the same for all copies of the service, replaced without anybody
//! noticing.

mod rota;
mod seal;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::{CancellationToken, Claims, Host};
use artel_proto::identity::{JsonWebKey, SigningKey};
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id, time};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, watch};

use crate::keys::rota::{Rota, Slot};
use crate::keys::seal::Pair;
use crate::refusal::Refusal;
use crate::settings::Settings;

pub(crate) use crate::keys::seal::{Seal, derived};

/// The id of the first key of all: two copies that start at once both try to make it, and one succeeds.
const FIRST: &str = "00000000-0000-7000-8000-0000000000e5";
/// More keys than this are never there at once.
const MOST_KEYS: i32 = 200;
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried while no key is known yet.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How often a rotation is begun anew when another copy was faster.
const ATTEMPTS: usize = 5;

/// The keys there are, as this copy of the service knows them.
pub(crate) struct Keyring {
    host: Host,
    repo: Repo,
    seal: Seal,
    rota: Rota,
    reload: Duration,
    known: RwLock<Option<Arc<Ring>>>,
    /// One look at a time.
    looking: Mutex<()>,
    can_sign: watch::Sender<bool>,
}

/// All keys at one look.
#[derive(Default)]
struct Ring {
    slots: Vec<Slot>,
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    version: i64,
    public: Vec<u8>,
    pair: Option<Arc<Pair>>,
}

impl Keyring {
    pub(crate) fn new(host: &Host, settings: &Settings) -> anyhow::Result<Self> {
        let rota = Rota {
            lifetime: TimeDelta::from_std(settings.access_token_lifetime())?,
            publish_ahead: TimeDelta::from_std(settings.signing.publish_ahead())?,
            rotate_after: settings.signing.rotate_after().map(TimeDelta::from_std).transpose()?,
        };
        Ok(Self {
            host: host.clone(),
            repo: host.repo(),
            seal: Seal::new(&settings.key)?,
            rota,
            reload: settings.signing.reload(),
            known: RwLock::default(),
            looking: Mutex::default(),
            can_sign: watch::Sender::new(false),
        })
    }

    /// True while there is a key to sign with.
    pub(crate) fn can_sign(&self) -> watch::Receiver<bool> {
        self.can_sign.subscribe()
    }

    /// Looks what keys there are, again and again until the service drains; makes one where one is needed.
    pub(crate) async fn keep(self: Arc<Self>, draining: CancellationToken) {
        loop {
            let looked = self.look().await;
            if let Err(error) = &looked {
                tracing::warn!(%error, "cannot look what signing keys there are; what is known stays");
            }
            let pause = if looked.is_err() && self.ring().is_none() { FIRST_PAUSE } else { self.reload };
            tokio::select! {
                () = draining.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// A JWT that says this.
    pub(crate) async fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let ring = self.loaded().await?;
        let signer = self.rota.signer(&ring.slots, Utc::now()).and_then(|slot| ring.key(&slot.id));
        let (key, pair) = signer
            .and_then(|key| Some((key, key.pair.as_ref()?)))
            .ok_or_else(|| no_keys("none can sign yet"))?;
        let header = serde_json::json!({"alg": "ES256", "typ": "JWT", "kid": key.id});
        let claims = serde_json::to_vec(claims).map_err(Error::internal)?;
        let mut token = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims));
        let signature = pair.sign(token.as_bytes())?;
        token.push('.');
        token.push_str(&BASE64.encode(signature));
        Ok(token)
    }

    /// What verifiers are told: the key that signs first.
    ///
    /// # Errors
    /// UNAVAILABLE where there is none, since verifiers would believe for a while that there is none.
    pub(crate) async fn published(&self) -> Result<Vec<JsonWebKey>, Error> {
        let ring = self.loaded().await?;
        let published = self.rota.published(&ring.slots, Utc::now());
        let keys: Vec<JsonWebKey> =
            published.iter().filter_map(|slot| ring.key(&slot.id)).filter_map(json_web_key).collect();
        if keys.is_empty() { Err(no_keys("none is published")) } else { Ok(keys) }
    }

    /// Makes a new key, whatever there is.
    pub(crate) async fn rotate(&self, call: &Call) -> Result<(), Error> {
        let _one_at_a_time = self.looking.lock().await;
        for _ in 0..ATTEMPTS {
            let ring = self.read(call).await?;
            if self.make(call, &ring).await? {
                self.learn(self.read(call).await?);
                return Ok(());
            }
        }
        Err(Refusal::Contended.into())
    }

    /// What is known, after a first look where nothing is.
    async fn loaded(&self) -> Result<Arc<Ring>, Error> {
        if let Some(ring) = self.ring() {
            return Ok(ring);
        }
        self.look().await.map_err(no_keys)?;
        self.ring().ok_or_else(|| no_keys("none was found"))
    }

    fn ring(&self) -> Option<Arc<Ring>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self) -> Result<(), Error> {
        let _one_at_a_time = self.looking.lock().await;
        let mut call = self.host.call();
        call.deadline = Some(Instant::now() + PATIENCE);
        let mut ring = self.read(&call).await?;
        if self.rota.is_due(&ring.slots, Utc::now()) {
            // Where another copy was faster, its key is as good.
            self.make(&call, &ring).await?;
            ring = self.read(&call).await?;
        }
        let gone = ring.remove_gone(Utc::now());
        self.learn(ring);
        if !gone.is_empty() {
            let commit = gone.iter().fold(Commit::new(), |commit, id| commit.delete::<SigningKey>(id));
            match self.repo.commit(&call, commit).await {
                Err(error) if error.reason() != "ROW_NOT_FOUND" => return Err(error),
                _ => tracing::info!(kids = gone.join(","), "signing keys expired and were deleted"),
            }
        }
        Ok(())
    }

    fn learn(&self, ring: Ring) {
        let signs = self.rota.signer(&ring.slots, Utc::now()).is_some();
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ring));
        self.can_sign.send_if_modified(|known| std::mem::replace(known, signs) != signs);
    }

    /// What is stored now. Keys opened before are not opened again.
    async fn read(&self, call: &Call) -> Result<Ring, Error> {
        let stored = self.repo.query::<SigningKey>(call, Query::new().page(MOST_KEYS, "")).await?.items;
        let known = self.ring().unwrap_or_default();
        let mut ring = Ring::default();
        for key in stored {
            let pair = match known.key(&key.id).and_then(|known| known.pair.clone()) {
                Some(pair) => Some(pair),
                None => self.seal.open(&key.id, &key.sealed_private_key).map(Arc::new),
            };
            if pair.is_none() && known.key(&key.id).is_none() {
                tracing::error!(
                    kid = key.id,
                    "a signing key was sealed with another identity.key and cannot sign"
                );
            }
            ring.slots.push(Slot {
                id: key.id.clone(),
                activate: moment(key.activate_time.as_ref()).unwrap_or(DateTime::UNIX_EPOCH),
                expire: moment(key.expire_time.as_ref()),
                opens: pair.is_some(),
            });
            ring.keys.push(Key { id: key.id, version: key.version, public: key.public_key.to_vec(), pair });
        }
        Ok(ring)
    }

    /// Makes a new key beside those there are. False where somebody else changed them meanwhile.
    async fn make(&self, call: &Call, ring: &Ring) -> Result<bool, Error> {
        let rotation = self.rota.rotation(&ring.slots, Utc::now());
        let id = if ring.keys.is_empty() { FIRST.to_owned() } else { new_id() };
        let (pair, sealed) = self.seal.make(&id)?;
        let key = SigningKey {
            id: id.clone(),
            public_key: pair.public().to_vec().into(),
            sealed_private_key: sealed.into(),
            activate_time: Some(time::from_chrono(rotation.activate)),
            ..SigningKey::default()
        };
        let mut commit = Commit::new().insert(&key);
        for old in ring.keys.iter().filter(|key| rotation.retire.contains(&key.id)) {
            let retired = SigningKey {
                id: old.id.clone(),
                expire_time: Some(time::from_chrono(rotation.expire)),
                ..SigningKey::default()
            };
            commit = commit.update(&retired, &["expire_time"]).expect_version(old.version);
        }
        match self.repo.commit(call, commit).await {
            Ok(_) => {
                tracing::info!(kid = id, signs_from = %rotation.activate, "made a signing key");
                Ok(true)
            }
            Err(error)
                if matches!(error.reason(), "PRECONDITION_FAILED" | "UNIQUE_VIOLATION" | "ROW_NOT_FOUND") =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

impl Ring {
    fn key(&self, id: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Drops the keys that are no longer published; their ids.
    fn remove_gone(&mut self, now: DateTime<Utc>) -> Vec<String> {
        let gone: Vec<String> =
            self.slots.iter().filter(|slot| !slot.is_published(now)).map(|slot| slot.id.clone()).collect();
        self.slots.retain(|slot| !gone.contains(&slot.id));
        self.keys.retain(|key| !gone.contains(&key.id));
        gone
    }
}

/// `None` for a point that is not 65 bytes, which none of ours is.
fn json_web_key(key: &Key) -> Option<JsonWebKey> {
    let (x, y) = key.public.strip_prefix(&[4])?.split_at_checked(32)?;
    Some(JsonWebKey {
        kty: "EC".to_owned(),
        crv: "P-256".to_owned(),
        kid: key.id.clone(),
        r#use: "sig".to_owned(),
        alg: "ES256".to_owned(),
        x: BASE64.encode(x),
        y: BASE64.encode(y),
    })
}

fn moment(stamp: Option<&artel_proto::Timestamp>) -> Option<DateTime<Utc>> {
    stamp.and_then(time::to_chrono)
}

fn no_keys(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::unavailable("NO_SIGNING_KEY", "Signing in does not work just now. Try again in a moment.")
        .caused_by(why)
}
