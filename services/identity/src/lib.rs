//! Who people are, how they sign in, and the keys that say so.
//!
//! A sign-in opens a session. Its access token is good for a quarter of an hour and is never looked up: whoever has the
//! published keys can verify it, so one of a session that was ended lives on until it expires. Its refresh token is good
//! once; one that comes back ends the session.

mod api;
mod attempts;
mod domain;
mod keys;
mod password;
mod people;
mod refusal;
mod sessions;
mod settings;
mod tokens;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use artel_cache::{OnFailure, Redis, Throttle};
use artel_handle::{Host, Live, Service, Shape};
use artel_proto::identity::identity_service_server::IdentityServiceServer;

use crate::api::Identity;
use crate::attempts::Attempts;
use crate::keys::Keyring;
use crate::password::Passwords;
use crate::people::People;
use crate::sessions::Sessions;
use crate::settings::Settings;
use crate::tokens::AccessTokens;

pub use settings::DEFAULTS;

/// The section `[identity]`, for commands.
pub const SECTION: Shape = Shape::of::<Settings>();

/// How often expired sessions are swept.
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
    let failures =
        Throttle::new(Redis::open(host.mesh().redis.reveal())?, "identity.login", OnFailure::Allow);
    let people = People {
        repo,
        passwords: Passwords::new(&settings.password).await?,
        attempts: Attempts::new(failures, live),
        sessions: sessions.clone(),
    };

    let (can_sign, keeper, sweeper) = (keyring.can_sign(), keyring.clone(), sessions.clone());
    Ok(Service::new("identity")
        .grpc(IdentityServiceServer::new(Identity { people, sessions, keyring }))
        .needs("a signing key", can_sign)
        .task(|draining| keeper.keep(draining))
        .every(SWEEP, move |call| {
            let sessions = sweeper.clone();
            async move { sessions.sweep(&call).await }
        }))
}
