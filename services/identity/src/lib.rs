//! Who people are, how they sign in, and the keys that say so.
//!
//! A sign-in opens a session. Its access token is good for a quarter of an hour and is never looked up: whoever has the
//! published keys can verify it, so one of a session that was ended lives on until it expires. Its refresh token is good
//! once; one that comes back ends the session.
//!
//! Staff sign in with a password. Guests sign in by phone: with a code by SMS, or with what a device of theirs was given
//! when they did so.

mod api;
mod attempts;
mod codes;
mod devices;
mod domain;
mod guests;
mod keys;
mod limits;
mod opaque;
mod password;
mod people;
mod phone;
mod refusal;
mod sessions;
mod settings;
mod sweep;
mod tokens;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use artel_cache::{OnFailure, Redis, Throttle};
use artel_handle::{Host, Live, Service, Shape};
use artel_proto::identity::guest_service_server::GuestServiceServer;
use artel_proto::identity::identity_service_server::IdentityServiceServer;

use crate::api::{GuestEntrance, Identity};
use crate::attempts::Attempts;
use crate::codes::Codes;
use crate::devices::Devices;
use crate::guests::Guests;
use crate::keys::Keyring;
use crate::limits::CodeLimits;
use crate::password::Passwords;
use crate::people::People;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::tokens::AccessTokens;

pub use settings::DEFAULTS;

/// The section `[identity]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// How often what expired is swept.
const SWEEP: Duration = Duration::from_secs(600);

/// The service `identity`.
///
/// # Errors
/// Where the section `[identity]` is wrong: no key to seal with, parameters that argon2 cannot work with.
pub async fn service(host: Host) -> anyhow::Result<Service> {
    let live: Live<Settings> = host.settings()?;
    let settings = live.get();
    let repo = host.repo();
    let keyring = Arc::new(Keyring::new(&host, &settings)?);
    let access = AccessTokens::new(keyring.clone(), live.clone(), &host.mesh().default_workspace);
    let sessions = Arc::new(Sessions::new(repo.clone(), access, live.clone()));
    let redis = Redis::open(host.mesh().redis.reveal())?;
    let failures = Throttle::new(redis.clone(), "identity.login", OnFailure::Allow);
    let attempts = Arc::new(Attempts::new(failures, live.clone()));
    let guests = Arc::new(Guests {
        repo: repo.clone(),
        codes: Codes::new(repo.clone(), live.clone())?,
        devices: Devices::new(repo.clone(), live.clone()),
        limits: CodeLimits::new(Throttle::new(redis, "identity.codes", OnFailure::Allow), live.clone()),
        attempts: attempts.clone(),
        sessions: sessions.clone(),
        settings: live,
    });
    let people = People {
        repo,
        passwords: Passwords::new(&settings.password).await?,
        attempts,
        sessions: sessions.clone(),
    };

    let (can_sign, keeper) = (keyring.can_sign(), keyring.clone());
    let (old_sessions, old_codes) = (sessions.clone(), guests.clone());
    Ok(Service::new("identity")
        .grpc(IdentityServiceServer::new(Identity { people, sessions, keyring }))
        .grpc(GuestServiceServer::new(GuestEntrance(guests)))
        .needs("a signing key", can_sign)
        .task(|draining| keeper.keep(draining))
        .every(SWEEP, move |call| {
            let (sessions, guests) = (old_sessions.clone(), old_codes.clone());
            async move {
                sessions.sweep(&call).await?;
                guests.sweep(&call).await
            }
        }))
}
