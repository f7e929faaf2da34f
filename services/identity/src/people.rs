//! People: how they register and sign in, what they change of themselves, what operators let them do.

use std::sync::Arc;

use artel_client::Call;
use artel_proto::identity::{Credential, LoginRequest, RegisterRequest, User, UserRegistered};
use artel_repo::{Commit, Query, Repo};
use artel_util::{Error, new_id};
use tonic::metadata::MetadataMap;

use crate::attempts::{Attempt, Attempts};
use crate::domain;
use crate::password::Passwords;
use crate::refusal::Refusal;
use crate::sessions::{Sessions, SignedIn};

/// How often a change of roles is begun anew when somebody else changes the same person.
const ATTEMPTS: usize = 8;

/// Registers people, signs them in, changes them.
pub(crate) struct People {
    pub(crate) repo: Repo,
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) sessions: Arc<Sessions>,
}

impl People {
    /// A new person with their first session, or nothing at all.
    pub(crate) async fn register(&self, call: &Call, request: &RegisterRequest) -> Result<SignedIn, Error> {
        let user = User {
            id: new_id(),
            email: Some(domain::normalize_email(&request.email)),
            display_name: request.display_name.trim().to_owned(),
            locale: if request.locale.is_empty() { domain::DEFAULT_LOCALE } else { &request.locale }
                .to_owned(),
            ..User::default()
        };
        let password_hash = self.passwords.hash(call, &request.password).await?;
        let credential = Credential { id: user.id.clone(), password_hash, ..Credential::default() };
        let (session, mut signed_in) = self.sessions.open(&user).await?;
        let commit = Commit::new()
            .insert(&user)
            .insert(&credential)
            .insert(&session)
            .publish(&UserRegistered { user_id: user.id.clone(), locale: user.locale.clone() })
            // The id is this attempt's alone: the key is there for a commit whose answer was lost.
            .once(format!("identity.register/{}", user.id), session.refresh_digest.clone(), Vec::new());
        match self.repo.commit(call, commit).await {
            Ok(_) => {}
            Err(error) if error.reason() == "UNIQUE_VIOLATION" && error.get("fields") == Some("email") => {
                return Err(Refusal::EmailTaken.into());
            }
            Err(error) => return Err(error),
        }
        tracing::info!(user = user.id, "registered");
        // Storage stamped the times; the person is registered even if they cannot be read just now.
        if let Ok(Some(stored)) = self.repo.get(call, &user.id).await {
            signed_in.user = stored;
        }
        Ok(signed_in)
    }

    /// A new session for whoever knows the password.
    pub(crate) async fn login(
        &self,
        call: &Call,
        metadata: &MetadataMap,
        request: &LoginRequest,
    ) -> Result<SignedIn, Error> {
        let email = domain::normalize_email(&request.email);
        let attempt = Attempt::new(&email, metadata);
        self.attempts.check(&attempt).await?;
        let user = self.find(call, &email).await?;
        let credential: Option<Credential> = match &user {
            Some(user) => self.repo.get(call, &user.id).await?,
            None => None,
        };
        let known = credential.as_ref().map(|credential| credential.password_hash.as_str());
        let verdict = self.passwords.verify(call, &request.password, known).await?;
        let Some(user) = user.filter(|_| verdict.matches) else {
            self.attempts.fail(&attempt).await?;
            return Err(Refusal::BadCredentials.into());
        };
        // Others may have failed while this one waited: then not even the right password opens.
        self.attempts.check(&attempt).await?;

        let (session, signed_in) = self.sessions.open(&user).await?;
        let mut commit = Commit::new().insert(&session);
        if verdict.outdated {
            let password_hash = self.passwords.hash(call, &request.password).await?;
            let renewed = Credential { id: user.id.clone(), password_hash, ..Credential::default() };
            commit = commit.update(&renewed, &["password_hash"]);
        }
        let key = format!("identity.login/{}", session.id);
        self.repo.commit(call, commit.once(key, session.refresh_digest.clone(), Vec::new())).await?;
        self.attempts.succeed(&attempt).await;
        tracing::info!(user = user.id, session = session.id, rehashed = verdict.outdated, "signed in");
        Ok(signed_in)
    }

    /// The caller.
    pub(crate) async fn me(&self, call: &Call) -> Result<User, Error> {
        let user: Option<User> = self.repo.get(call, call.user_id()?).await?;
        Ok(user.ok_or(Refusal::UserGone)?)
    }

    /// Changes the caller.
    pub(crate) async fn update_me(&self, call: &Call, new: User, mask: &[String]) -> Result<User, Error> {
        let fields = domain::changed_fields(&new, mask)?;
        let changed = User {
            id: call.user_id()?.to_owned(),
            display_name: new.display_name.trim().to_owned(),
            locale: new.locale,
            ..User::default()
        };
        match self.repo.commit(call, Commit::new().update(&changed, &fields)).await {
            Ok(_) => self.me(call).await,
            Err(error) if error.reason() == "ROW_NOT_FOUND" => Err(Refusal::UserGone.into()),
            Err(error) => Err(error),
        }
    }

    /// Grants a role. Access tokens say so after the next refresh.
    pub(crate) async fn grant(&self, call: &Call, email: &str, role: &str) -> Result<User, Error> {
        self.change_roles(call, email, role, |roles| domain::with_role(roles, role)).await
    }

    /// Takes a role.
    pub(crate) async fn revoke(&self, call: &Call, email: &str, role: &str) -> Result<User, Error> {
        self.change_roles(call, email, role, |roles| Ok(domain::without_role(roles, role))).await
    }

    async fn change_roles(
        &self,
        call: &Call,
        email: &str,
        role: &str,
        change: impl Fn(&[String]) -> Result<Option<Vec<String>>, Error>,
    ) -> Result<User, Error> {
        domain::check_role(role)?;
        let email = domain::normalize_email(email);
        for _ in 0..ATTEMPTS {
            let mut user = self.find(call, &email).await?.ok_or(Refusal::UserNotFound)?;
            let Some(roles) = change(&user.roles)? else { return Ok(user) };
            user.roles = roles;
            let commit = Commit::new().update(&user, &["roles"]).expect_version(user.version);
            match self.repo.commit(call, commit).await {
                Ok(_) => {
                    tracing::info!(user = user.id, roles = user.roles.join(","), "roles changed");
                    return self.repo.get(call, &user.id).await?.ok_or_else(|| Refusal::UserNotFound.into());
                }
                Err(error) if matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Contended.into())
    }

    async fn find(&self, call: &Call, email: &str) -> Result<Option<User>, Error> {
        Ok(self.repo.query(call, Query::new().equal("email", email).page(1, "")).await?.items.pop())
    }
}
