//! Codes that are sent to phones: made, told to `notify`, tried three times at most, used once.

use artel_client::Call;
use artel_handle::Live;
use artel_proto::identity::{PhoneCode, PhoneCodeRequested, RevealCodeResponse};
use artel_repo::{Commit, Delta, Repo};
use artel_util::{Error, new_id, time};
use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::keys::{Seal, derived};
use crate::opaque::OpaqueTokens;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::sweep;

/// How often a code may be tried.
const TRIES: i64 = 3;
/// There are so many codes: six digits.
const CODES: u32 = 1_000_000;

/// Makes codes and judges them.
///
/// A code is kept twice: as a keyed digest, which guesses are compared with, and sealed, as long as it has to be sent.
/// Whoever reads the database learns neither.
pub(crate) struct Codes {
    repo: Repo,
    tokens: OpaqueTokens,
    digests: hmac::Key,
    seal: Seal,
    random: SystemRandom,
    settings: Live<Settings>,
}

/// A code on its way.
pub(crate) struct Sent {
    pub(crate) temporary_token: String,
    /// In seconds.
    pub(crate) expires_in: i32,
}

impl Codes {
    pub(crate) fn new(repo: Repo, settings: Live<Settings>) -> anyhow::Result<Self> {
        let key = &settings.get().key;
        Ok(Self {
            repo,
            tokens: OpaqueTokens::new(key, "artel identity temporary tokens"),
            digests: hmac::Key::new(
                hmac::HMAC_SHA256,
                derived(key, "artel identity digests of phone codes").as_ref(),
            ),
            seal: Seal::derived(key, "artel identity sealed phone codes")?,
            random: SystemRandom::new(),
            settings,
        })
    }

    /// A new code, which `notify` sends a moment later.
    pub(crate) async fn send(
        &self,
        call: &Call,
        phone: &str,
        device_id: &str,
        locale: &str,
    ) -> Result<Sent, Error> {
        let (id, code) = (new_id(), self.draw()?);
        let token = self.tokens.issue(&id)?;
        let settings = self.settings.get();
        let row = PhoneCode {
            id: id.clone(),
            phone: phone.to_owned(),
            sealed_code: self.seal.close(&id, code.as_bytes())?.into(),
            code_digest: Bytes::copy_from_slice(
                hmac::sign(&self.digests, &digested(&id, phone, &code)).as_ref(),
            ),
            token_digest: token.digest(),
            device_id: device_id.to_owned(),
            locale: locale.to_owned(),
            expire_time: Some(time::after(settings.quick_auth.code_lifetime())),
            ..PhoneCode::default()
        };
        let expire_time = row.expire_time.unwrap_or_default();
        let commit = Commit::new()
            .insert(&row)
            .publish_until(&PhoneCodeRequested { code_id: id.clone() }, expire_time)
            // The id is this attempt's alone: the key is there for a commit whose answer was lost.
            .once(format!("identity.code/{id}"), row.token_digest.clone(), Vec::new());
        self.repo.commit(call, commit).await?;
        tracing::info!(code = id, "made a code for a phone");
        Ok(Sent {
            temporary_token: token.reveal(),
            expires_in: i32::try_from(settings.quick_auth.code_seconds).unwrap_or(i32::MAX),
        })
    }

    /// The code's row, where this is the code. The try is counted first and compared after: of many guesses at the same
    /// moment three are looked at.
    pub(crate) async fn judge(
        &self,
        call: &Call,
        phone: &str,
        code: &str,
        temporary_token: &str,
    ) -> Result<PhoneCode, Error> {
        let token = self.tokens.read(temporary_token).ok_or(Refusal::BadCode)?;
        let id = token.id();
        let row: Option<PhoneCode> = self.repo.get(call, &id).await?;
        let row = row.filter(|row| token.is(&row.token_digest) && row.phone == phone && is_alive(row));
        let row = row.ok_or(Refusal::BadCode)?;
        let count = Commit::new()
            .adjust::<PhoneCode>(&id, [Delta::add("tries", 1).ceiling(TRIES)])
            .expect_null("use_time")
            // A key of its own, so that it may be sent again if the answer is lost.
            .once(format!("identity.try/{}", new_id()), Bytes::new(), Vec::new());
        match self.repo.commit(call, count).await {
            Ok(_) => {}
            Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND") => {
                return Err(Refusal::BadCode.into());
            }
            Err(error) => return Err(error),
        }
        // As it is read out of an SMS: `123 456`.
        let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
        hmac::verify(&self.digests, &digested(&id, phone, &code), &row.code_digest)
            .map_err(|_| Refusal::BadCode)?;
        Ok(row)
    }

    /// The use of a code, as part of what it is used for: of two one wins.
    pub(crate) fn used(code: &PhoneCode) -> Commit {
        let used = PhoneCode { id: code.id.clone(), use_time: Some(time::now()), ..PhoneCode::default() };
        Commit::new().update(&used, &["use_time", "sealed_code"]).expect_null("use_time")
    }

    /// What is to be sent.
    pub(crate) async fn reveal(&self, call: &Call, id: &str) -> Result<RevealCodeResponse, Error> {
        let row: Option<PhoneCode> = self.repo.get(call, id).await?;
        let row = row.filter(is_alive).ok_or(Refusal::CodeNotFound)?;
        let code = self.seal.reveal(id, &row.sealed_code).and_then(|code| String::from_utf8(code).ok());
        let code = code.ok_or_else(|| Error::internal("a code was sealed with another identity.key"))?;
        let left = row.expire_time.as_ref().and_then(time::to_chrono).map(|end| end - Utc::now());
        Ok(RevealCodeResponse {
            phone: row.phone,
            code,
            locale: row.locale,
            expires_in: left.and_then(|left| i32::try_from(left.num_seconds()).ok()).unwrap_or_default(),
        })
    }

    /// Deletes codes that expired an hour ago or earlier.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        sweep::expired::<PhoneCode>(&self.repo, call, TimeDelta::hours(1)).await
    }

    /// Six digits, each code as likely as any other.
    fn draw(&self) -> Result<String, Error> {
        loop {
            let mut bytes = [0; 4];
            self.random
                .fill(&mut bytes)
                .map_err(|_| Error::internal("the system gives no random numbers"))?;
            if let Some(code) = fair(u32::from_ne_bytes(bytes)) {
                return Ok(format!("{code:06}"));
            }
        }
    }
}

/// A code of a random number; `None` for the few numbers above the last whole round, which would favour the low codes.
fn fair(number: u32) -> Option<u32> {
    (number < u32::MAX - u32::MAX % CODES).then_some(number % CODES)
}

/// What a code's digest is made of: it is worth nothing for another code or phone.
fn digested(id: &str, phone: &str, code: &str) -> Vec<u8> {
    format!("{id}/{phone}/{code}").into_bytes()
}

/// Whether it may still be tried.
fn is_alive(code: &PhoneCode) -> bool {
    code.use_time.is_none()
        && i64::from(code.tries) < TRIES
        && code.expire_time.as_ref().is_some_and(|end| !time::is_past(end))
}

#[cfg(test)]
mod tests {
    use artel_handle::testing::LocalMesh;
    use artel_persist::testing::TestDatabase;
    use artel_proto::identity::{Device, User};
    use artel_repo::Query;
    use futures::future::join_all;

    use super::*;
    use crate::devices::Devices;

    #[test]
    fn every_code_is_as_likely_as_any_other() {
        let last = 4_294_000_000;
        assert_eq!((fair(0), fair(999_999), fair(1_000_000)), (Some(0), Some(999_999), Some(0)));
        assert_eq!((fair(last - 1), fair(last), fair(u32::MAX)), (Some(999_999), None, None));
    }

    #[test]
    fn a_code_lives_until_it_is_used_up_or_late() {
        let fresh =
            PhoneCode { expire_time: Some(time::after(TimeDelta::minutes(1))), ..PhoneCode::default() };
        assert!(is_alive(&fresh) && is_alive(&PhoneCode { tries: 2, ..fresh.clone() }));
        assert!(!is_alive(&PhoneCode { tries: 3, ..fresh.clone() }));
        assert!(!is_alive(&PhoneCode { use_time: Some(time::now()), ..fresh.clone() }));
        assert!(!is_alive(&PhoneCode { expire_time: Some(time::now()), ..fresh.clone() }));
        assert!(!is_alive(&PhoneCode { expire_time: None, ..fresh }));
    }

    struct World {
        mesh: LocalMesh,
        _database: TestDatabase,
        settings: Live<Settings>,
    }

    impl World {
        async fn start() -> Self {
            let database = TestDatabase::create().await.unwrap();
            let mesh = LocalMesh::start(&format!("[identity]\nkey = '{}'", "5e".repeat(32))).await.unwrap();
            mesh.serve(database.persist().await.unwrap()).await.unwrap();
            let settings = mesh.host("identity").settings().unwrap();
            Self { mesh, _database: database, settings }
        }

        fn codes(&self) -> Codes {
            Codes::new(self.mesh.host("identity").repo(), self.settings.clone()).unwrap()
        }
    }

    /// As it must not be done: compared first, counted after.
    async fn compare_first(codes: &Codes, call: &Call, code: &str, token: &str) -> bool {
        let id = codes.tokens.read(token).unwrap().id();
        let row: PhoneCode = codes.repo.get(call, &id).await.unwrap().unwrap();
        let learned = is_alive(&row)
            && hmac::verify(&codes.digests, &digested(&id, PHONE, code), &row.code_digest).is_ok();
        let count = Commit::new().adjust::<PhoneCode>(&id, [Delta::add("tries", 1).ceiling(TRIES)]);
        let _ = codes.repo.commit(call, count).await;
        learned
    }

    const PHONE: &str = "+79001234567";

    #[tokio::test]
    async fn many_guesses_at_once_are_looked_at_three_times() {
        let world = World::start().await;
        let (codes, call) = (world.codes(), world.mesh.host("identity").call());
        let sent = codes.send(&call, PHONE, "", "ru").await.unwrap();
        let id = codes.tokens.read(&sent.temporary_token).unwrap().id();
        let code = codes.reveal(&call, &id).await.unwrap().code;
        // Each guess is the right one: as many learn it as are compared.
        let guesses = (0..32).map(|_| codes.judge(&call, PHONE, &code, &sent.temporary_token));
        let learned = join_all(guesses).await.iter().filter(|judged| judged.is_ok()).count();
        assert_eq!(learned, 3);

        let sent = codes.send(&call, PHONE, "", "ru").await.unwrap();
        let id = codes.tokens.read(&sent.temporary_token).unwrap().id();
        let code = codes.reveal(&call, &id).await.unwrap().code;
        let guesses = (0..32).map(|_| compare_first(&codes, &call, &code, &sent.temporary_token));
        let learned = join_all(guesses).await.into_iter().filter(|learned| *learned).count();
        assert!(learned > 3, "the negative control: {learned} were compared");
    }

    #[tokio::test]
    async fn a_code_is_used_once_and_without_its_condition_as_often_as_it_comes() {
        let world = World::start().await;
        let (codes, call) = (world.codes(), world.mesh.host("identity").call());
        let sent = codes.send(&call, PHONE, "", "ru").await.unwrap();
        let id = codes.tokens.read(&sent.temporary_token).unwrap().id();
        let row: PhoneCode = codes.repo.get(&call, &id).await.unwrap().unwrap();
        let used = PhoneCode { use_time: Some(time::now()), ..row.clone() };
        let naive = || codes.repo.commit(&call, Commit::new().update(&used, &["use_time"]));
        let (one, other) = tokio::join!(naive(), naive());
        assert!(one.is_ok() && other.is_ok(), "the negative control: both use it");

        let unused = PhoneCode { use_time: None, ..row.clone() };
        codes.repo.commit(&call, Commit::new().update(&unused, &["use_time"])).await.unwrap();
        let uses = (0..8).map(|_| codes.repo.commit(&call, Codes::used(&row)));
        let (won, lost): (Vec<_>, Vec<_>) = join_all(uses).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1);
        for error in lost.into_iter().filter_map(Result::err) {
            assert_eq!(error.get("entity"), Some(<PhoneCode as artel_proto::Entity>::NAME), "{error}");
        }
    }

    #[tokio::test]
    async fn codes_and_devices_of_no_use_are_swept_by_two_copies_at_once() {
        let world = World::start().await;
        let host = world.mesh.host("identity");
        let (repo, call) = (host.repo(), host.call());
        let user =
            User { id: new_id(), phone: Some(PHONE.into()), display_name: "A".into(), ..User::default() };
        let mut commit = Commit::new().insert(&user);
        for (minutes, hours) in [(-120, -72), (-61, -25), (-59, -23), (5, 24)] {
            let expire_time = Some(time::after(TimeDelta::minutes(minutes)));
            commit = commit.insert(&PhoneCode { id: new_id(), expire_time, ..PhoneCode::default() });
            let expire_time = Some(time::after(TimeDelta::hours(hours)));
            let device_id = hours.to_string();
            let user_id = user.id.clone();
            commit =
                commit.insert(&Device { id: new_id(), user_id, device_id, expire_time, ..Device::default() });
        }
        repo.commit(&call, commit).await.unwrap();
        let (codes, devices) = (world.codes(), Devices::new(host.repo(), world.settings.clone()));
        let swept =
            tokio::join!(codes.sweep(&call), codes.sweep(&call), devices.sweep(&call), devices.sweep(&call));
        swept.0.and(swept.1).and(swept.2).and(swept.3).unwrap();
        let codes = repo.query::<PhoneCode>(&call, Query::new()).await.unwrap().items;
        let devices = repo.query::<Device>(&call, Query::new()).await.unwrap().items;
        let mut names: Vec<_> = devices.into_iter().map(|device| device.device_id).collect();
        names.sort();
        assert_eq!((codes.len(), names), (2, vec!["-23".to_owned(), "24".to_owned()]));
    }
}
