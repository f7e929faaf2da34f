//! Where ATOL Online is, who we are to it, and its token.

use std::time::{Duration, Instant};

use artel_config::Secret;
use artel_outside::{Failed, Http, Issued, Reply, Tokens};
use reqwest::{RequestBuilder, StatusCode};

use super::wire;
use crate::printer::Settings;

/// How long it promises that a token lasts.
const TOKEN_LASTS: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Client {
    http: Http,
    url: String,
    group: String,
    login: String,
    password: Secret,
    tokens: Tokens,
}

impl Client {
    pub fn new(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            http: Http::new(settings.within())?,
            url: settings.url.clone(),
            group: settings.group.clone(),
            login: settings.login.clone(),
            password: settings.password.clone(),
            tokens: Tokens::default(),
        })
    }

    pub async fn register(&self, operation: &str, document: &wire::Document<'_>) -> Result<Reply, Failed> {
        let url = format!("{}/{}/{operation}", self.url, self.group);
        self.authorized(|| self.http.client().post(&url).json(document)).await
    }

    pub async fn report(&self, uuid: &str) -> Result<Reply, Failed> {
        let url = format!("{}/{}/report/{uuid}", self.url, self.group);
        self.authorized(|| self.http.client().get(&url)).await
    }

    /// Sends with the token; once more with a new one where it doesn't take the old.
    async fn authorized(&self, request: impl Fn() -> RequestBuilder) -> Result<Reply, Failed> {
        let deadline = self.http.deadline();
        let send = |token: Secret| self.http.send_by(request().header("token", token.reveal()), deadline);
        let token = self.tokens.get(self.issue(deadline)).await?;
        let reply = send(token.clone()).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        self.tokens.drop(&token).await;
        send(self.tokens.get(self.issue(deadline)).await?).await
    }

    async fn issue(&self, deadline: Instant) -> Result<Issued, Failed> {
        let login = wire::Login { login: &self.login, pass: self.password.reveal() };
        let request = self.http.client().post(format!("{}/getToken", self.url)).json(&login);
        let reply = self.http.send_by(request, deadline).await?;
        let grant: wire::Grant = reply.read()?;
        match grant.token.filter(|token| !token.is_empty()) {
            Some(token) => Ok(Issued { token: Secret::new(token), lasts: TOKEN_LASTS }),
            None => {
                let said = grant.error.map_or_else(String::new, |error| error.text);
                Err(Failed::NotDone(format!("answered {}: {said}", reply.status)))
            }
        }
    }
}
