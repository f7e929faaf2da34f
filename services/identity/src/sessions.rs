//! Sessions: opened by a sign-in, carried on by refreshing, ended by logout or by a refresh token that comes back.

use artel_client::Call;
use artel_handle::Live;
use artel_proto::Timestamp;
use artel_proto::identity::{Session, User};
use artel_repo::{Commit, Repo};
use artel_util::{Error, new_id, now, time};
use chrono::{TimeDelta, Utc};

use crate::domain::judge;
use crate::opaque::{OpaqueToken, OpaqueTokens};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::sweep;
use crate::tokens::AccessTokens;

/// How often a refresh is begun anew when the session changes in between.
const ATTEMPTS: usize = 3;
/// What the key of refresh tokens is derived for.
const PURPOSE: &str = "artel identity refresh tokens";

/// Opens, carries on and ends sessions.
pub(crate) struct Sessions {
    repo: Repo,
    access: AccessTokens,
    refresh: OpaqueTokens,
    settings: Live<Settings>,
}

/// A person who is signed in, and what they are given.
pub(crate) struct SignedIn {
    pub(crate) user: User,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) expires_in: i32,
}

impl Sessions {
    pub(crate) fn new(repo: Repo, access: AccessTokens, settings: Live<Settings>) -> Self {
        let refresh = OpaqueTokens::new(&settings.get().key, PURPOSE);
        Self { repo, access, refresh, settings }
    }

    /// A session that is to be committed, and what its person is given then.
    pub(crate) async fn open(&self, user: &User) -> Result<(Session, SignedIn), Error> {
        let id = new_id();
        let token = self.refresh.issue(&id)?;
        let session = Session {
            id,
            user_id: user.id.clone(),
            refresh_digest: token.digest(),
            expire_time: Some(self.end()),
            ..Session::default()
        };
        let signed_in = self.signed_in(user.clone(), &session.id, &token).await?;
        Ok((session, signed_in))
    }

    /// Trades a refresh token for the next. Of two that bring the same one gets it; the other ends the session.
    pub(crate) async fn refresh(&self, call: &Call, text: &str) -> Result<SignedIn, Error> {
        let token = self.refresh.read(text).ok_or(Refusal::UnknownRefreshToken)?;
        for _ in 0..ATTEMPTS {
            let session: Option<Session> = self.repo.get(call, &token.id()).await?;
            let session = session.ok_or(Refusal::UnknownRefreshToken)?;
            if let Err(refusal) = judge(&session, &token.digest(), Utc::now()) {
                if refusal == Refusal::ReusedRefreshToken && session.revoke_time.is_none() {
                    self.revoke(call, &session, "reuse").await?;
                    tracing::warn!(
                        session = session.id,
                        user = session.user_id,
                        "a refresh token was reused"
                    );
                }
                return Err(refusal.into());
            }
            // Read anew each time, so that what an operator granted or took is in the next token.
            let user: Option<User> = self.repo.get(call, &session.user_id).await?;
            let user = user.ok_or(Refusal::UserGone)?;
            let next = self.refresh.issue(&session.id)?;
            let signed_in = self.signed_in(user, &session.id, &next).await?;
            let swapped = Session {
                id: session.id.clone(),
                refresh_digest: next.digest(),
                generation: session.generation.saturating_add(1),
                expire_time: Some(self.end()),
                ..Session::default()
            };
            // The key lets a commit whose answer was lost be sent again: it then answers as it did. A rival that
            // brings the same token has another next one, and so another digest.
            let key = format!("identity.refresh/{}", hex::encode(token.digest()));
            let commit = Commit::new()
                .update(&swapped, &["refresh_digest", "generation", "expire_time"])
                .expect_version(session.version)
                .once(key, next.digest(), Vec::new());
            match self.repo.commit(call, commit).await {
                Ok(_) => return Ok(signed_in),
                // Refreshed or ended since we looked; the next look says which.
                Err(error) if is_race(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Contended.into())
    }

    /// Ends the session of a refresh token, if there is one. Its access tokens live on until they expire.
    pub(crate) async fn end_by(&self, call: &Call, text: &str) -> Result<(), Error> {
        let Some(token) = self.refresh.read(text) else { return Ok(()) };
        let session: Option<Session> = self.repo.get(call, &token.id()).await?;
        match session {
            Some(session) if session.revoke_time.is_none() => self.revoke(call, &session, "logout").await,
            _ => Ok(()),
        }
    }

    /// Deletes sessions that ended by themselves a day ago or earlier.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        sweep::expired::<Session>(&self.repo, call, TimeDelta::days(1)).await
    }

    async fn revoke(&self, call: &Call, session: &Session, reason: &str) -> Result<(), Error> {
        let ended = Session {
            id: session.id.clone(),
            revoke_time: Some(now()),
            revoke_reason: reason.to_owned(),
            ..Session::default()
        };
        let commit = Commit::new().update(&ended, &["revoke_time", "revoke_reason"]);
        match self.repo.commit(call, commit).await {
            Err(error) if error.reason() != "ROW_NOT_FOUND" => Err(error),
            _ => Ok(()),
        }
    }

    async fn signed_in(&self, user: User, session_id: &str, token: &OpaqueToken) -> Result<SignedIn, Error> {
        let access_token = self.access.issue(&user, session_id).await?;
        Ok(SignedIn {
            user,
            access_token,
            refresh_token: token.reveal(),
            expires_in: self.access.expires_in(),
        })
    }

    fn end(&self) -> Timestamp {
        time::after(TimeDelta::from_std(self.settings.get().session_lifetime()).unwrap_or(TimeDelta::MAX))
    }
}

/// True where somebody else changed the same rows meanwhile.
pub(crate) fn is_race(error: &Error) -> bool {
    matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "IDEMPOTENCY_KEY_REUSED")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use artel_handle::testing::LocalMesh;
    use artel_persist::testing::TestDatabase;
    use artel_repo::Query;

    use super::*;
    use crate::keys::Keyring;

    #[tokio::test]
    async fn sessions_that_ended_by_themselves_are_swept_by_two_copies_at_once() {
        let database = TestDatabase::create().await.unwrap();
        let key = "5e".repeat(32);
        let mesh = LocalMesh::start(&format!("[identity]\nkey = '{key}'")).await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        let host = mesh.host("identity");
        let settings: Live<Settings> = host.settings().unwrap();
        let keyring = Arc::new(Keyring::new(&host, &settings.get()).unwrap());
        let access = AccessTokens::new(keyring, settings.clone(), "");
        let sessions = Sessions::new(host.repo(), access, settings);

        let (repo, call) = (host.repo(), host.call());
        let user = User {
            id: new_id(),
            email: Some("anna@example.com".into()),
            display_name: "Anna".into(),
            ..User::default()
        };
        let mut commit = Commit::new().insert(&user);
        for hours in [-72, -25, -23, 24] {
            let session = Session {
                id: new_id(),
                user_id: user.id.clone(),
                expire_time: Some(time::after(TimeDelta::hours(hours))),
                ..Session::default()
            };
            commit = commit.insert(&session);
        }
        repo.commit(&call, commit).await.unwrap();
        let (one, other) = tokio::join!(sessions.sweep(&call), sessions.sweep(&call));
        one.and(other).unwrap();
        let left = repo.query::<Session>(&call, Query::new()).await.unwrap().items;
        let yesterday = Utc::now() - TimeDelta::days(1);
        assert_eq!(left.len(), 2);
        for session in left {
            assert!(time::to_chrono(&session.expire_time.unwrap()).unwrap() > yesterday);
        }
        sessions.sweep(&call).await.unwrap();
    }
}
