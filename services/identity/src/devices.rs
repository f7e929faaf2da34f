//! Devices on which a code was confirmed, and which sign in without one for a while.

use artel_client::Call;
use artel_handle::Live;
use artel_proto::identity::{Device, User};
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id, time};
use chrono::TimeDelta;

use crate::opaque::OpaqueTokens;
use crate::settings::Settings;
use crate::sweep;

/// Knows devices by their tokens. A token is bound to its person, their phone and what the device calls itself.
pub(crate) struct Devices {
    repo: Repo,
    tokens: OpaqueTokens,
    settings: Live<Settings>,
}

impl Devices {
    pub(crate) fn new(repo: Repo, settings: Live<Settings>) -> Self {
        let tokens = OpaqueTokens::new(&settings.get().key, "artel identity device tokens");
        Self { repo, tokens, settings }
    }

    /// Who signs in with a device token: nobody where anything about it is wrong. What is asked of storage depends on the
    /// token alone, never on whose phone it is.
    pub(crate) async fn owner(
        &self,
        call: &Call,
        phone: &str,
        device_id: &str,
        device_token: &str,
    ) -> Result<Option<User>, Error> {
        let Some(token) = self.tokens.read(device_token).filter(|_| !device_id.is_empty()) else {
            return Ok(None);
        };
        let device: Option<Device> = self.repo.get(call, &token.id()).await?;
        let Some(device) = device.filter(|device| {
            token.is(&device.token_digest)
                && device.device_id == device_id
                && device.expire_time.as_ref().is_some_and(|end| !time::is_past(end))
        }) else {
            return Ok(None);
        };
        let user: Option<User> = self.repo.get(call, &device.user_id).await?;
        Ok(user.filter(|user| user.phone.as_deref() == Some(phone)))
    }

    /// Remembers a device as part of a commit; its new token. The one it had before is worth nothing then.
    pub(crate) async fn remember(
        &self,
        call: &Call,
        commit: Commit,
        user_id: &str,
        device_id: &str,
    ) -> Result<(Commit, String), Error> {
        let known = Query::new().equal("user_id", user_id).equal("device_id", device_id).page(1, "");
        let known: Option<Device> = self.repo.query(call, known).await?.items.pop();
        let id = known.as_ref().map_or_else(new_id, |device| device.id.clone());
        let token = self.tokens.issue(&id)?;
        let device = Device {
            id,
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            token_digest: token.digest(),
            expire_time: Some(time::after(self.settings.get().quick_auth.device_lifetime())),
            ..Device::default()
        };
        let commit = match known {
            Some(_) => commit.update(&device, &["token_digest", "expire_time"]),
            None => commit.insert(&device),
        };
        Ok((commit, token.reveal()))
    }

    /// Deletes devices that expired a day ago or earlier.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        sweep::expired::<Device>(&self.repo, call, TimeDelta::days(1)).await
    }
}
