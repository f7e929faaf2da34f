//! Guests: they sign in by phone, with a code by SMS, and have an account from their first code on.

use std::sync::Arc;

use artel_client::Call;
use artel_handle::Live;
use artel_proto::Entity as _;
use artel_proto::identity::{ConfirmCodeRequest, PhoneCode, QuickAuthRequest, User, UserRegistered};
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id};
use tonic::metadata::MetadataMap;

use crate::attempts::{Attempt, Attempts};
use crate::codes::{Codes, Sent};
use crate::devices::Devices;
use crate::domain;
use crate::limits::CodeLimits;
use crate::phone::Phone;
use crate::refusal::Refusal;
use crate::sessions::{Sessions, SignedIn};
use crate::settings::Settings;

/// How often a sign-in is begun anew when the same guest signs in elsewhere at that moment.
const ATTEMPTS: usize = 5;

/// Signs guests in.
pub(crate) struct Guests {
    pub(crate) repo: Repo,
    pub(crate) codes: Codes,
    pub(crate) devices: Devices,
    pub(crate) limits: CodeLimits,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) settings: Live<Settings>,
}

/// What becomes of somebody at the door.
pub(crate) enum Entry {
    SignedIn(Box<SignedIn>),
    Code(Sent),
}

/// A guest whose code was right.
pub(crate) struct Confirmed {
    pub(crate) signed_in: SignedIn,
    /// Empty where the device did not say what it calls itself.
    pub(crate) device_token: String,
}

impl Guests {
    /// Signs in who holds a device token; sends a code to everybody else. Whether the phone is known is not even looked
    /// at for that, so that nothing can tell it: neither the answer, nor its time, nor the limits.
    pub(crate) async fn enter(
        &self,
        call: &Call,
        metadata: &MetadataMap,
        request: &QuickAuthRequest,
    ) -> Result<Entry, Error> {
        let settings = self.settings.get();
        let phone = self.phone(&request.phone)?;
        let holder =
            self.devices.owner(call, &phone.number, &request.device_id, &request.device_token).await?;
        let known = match holder {
            // Whoever only says the number of somebody: config.toml says what that means.
            None if settings.quick_auth.trust_known_phone => self.find(call, &phone.number).await?,
            holder => holder,
        };
        if let Some(user) = known {
            let (session, signed_in) = self.sessions.open(&user).await?;
            let key = format!("identity.login/{}", session.id);
            let commit = Commit::new().insert(&session).once(key, session.refresh_digest.clone(), Vec::new());
            self.repo.commit(call, commit).await?;
            count("known");
            tracing::info!(user = user.id, session = session.id, "a guest signed in");
            return Ok(Entry::SignedIn(Box::new(signed_in)));
        }
        if let Err(refusal) = self.limits.take(&phone, metadata).await {
            count("limited");
            return Err(refusal.into());
        }
        let locale = if request.locale.is_empty() { domain::DEFAULT_LOCALE } else { &request.locale };
        let sent = self.codes.send(call, &phone.number, &request.device_id, locale).await?;
        count("code");
        Ok(Entry::Code(sent))
    }

    /// Signs in whoever has the code; who is new has an account from then on. The code's use, the account, the session and
    /// the device are one commit.
    pub(crate) async fn confirm(
        &self,
        call: &Call,
        metadata: &MetadataMap,
        request: &ConfirmCodeRequest,
    ) -> Result<Confirmed, Error> {
        let phone = self.phone(&request.phone)?.number;
        let attempt = Attempt::at_a_code(metadata);
        self.attempts.check(&attempt).await?;
        let judged = self.codes.judge(call, &phone, &request.code, &request.temporary_token).await;
        let code = match judged {
            Ok(code) => code,
            Err(error) if error.reason() == "BAD_CODE" => {
                count("wrong");
                self.attempts.fail(&attempt).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        for _ in 0..ATTEMPTS {
            let known = self.find(call, &phone).await?;
            let is_new = known.is_none();
            let user = known.unwrap_or_else(|| guest(&phone, &code.locale));
            let (session, mut signed_in) = self.sessions.open(&user).await?;
            let mut commit = Codes::used(&code).insert(&session);
            if is_new {
                let registered = UserRegistered { user_id: user.id.clone(), locale: user.locale.clone() };
                commit = commit.insert(&user).publish(&registered);
            }
            let mut device_token = String::new();
            if !code.device_id.is_empty() {
                (commit, device_token) =
                    self.devices.remember(call, commit, &user.id, &code.device_id).await?;
            }
            let key = format!("identity.confirm/{}", session.id);
            match self.repo.commit(call, commit.once(key, session.refresh_digest.clone(), Vec::new())).await {
                Ok(_) => {}
                Err(error) if error.get("entity") == Some(PhoneCode::NAME) => {
                    return Err(Refusal::BadCode.into());
                }
                // Another code of the same guest was confirmed at the same moment.
                Err(error)
                    if matches!(
                        error.reason(),
                        "UNIQUE_VIOLATION" | "ROW_NOT_FOUND" | "PRECONDITION_FAILED"
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            }
            count(if is_new { "registered" } else { "confirmed" });
            tracing::info!(user = user.id, session = session.id, is_new, "a guest confirmed a code");
            // Storage stamped the times; the guest is signed in even if they cannot be read just now.
            if is_new && let Ok(Some(stored)) = self.repo.get(call, &user.id).await {
                signed_in.user = stored;
            }
            return Ok(Confirmed { signed_in, device_token });
        }
        Err(Refusal::Contended.into())
    }

    /// Deletes codes and devices that are of no use any more.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        self.codes.sweep(call).await?;
        self.devices.sweep(call).await
    }

    fn phone(&self, text: &str) -> Result<Phone, Refusal> {
        self.settings.get().quick_auth.phone(text).ok_or(Refusal::BadPhone)
    }

    async fn find(&self, call: &Call, phone: &str) -> Result<Option<User>, Error> {
        Ok(self.repo.query(call, Query::new().equal("phone", phone).page(1, "")).await?.items.pop())
    }
}

fn guest(phone: &str, locale: &str) -> User {
    User {
        id: new_id(),
        phone: Some(phone.to_owned()),
        display_name: domain::guest_name(locale).to_owned(),
        locale: locale.to_owned(),
        ..User::default()
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("artel_identity_guests_total", "outcome" => outcome).increment(1);
}
