//! Firebase Cloud Messaging over its HTTP v1 API.

use artel_outside::{Failed, Http};
use async_trait::async_trait;
use reqwest::StatusCode;

use super::token::Account;
use super::wire::{Data, Notice, Refused, Send, Target};
use super::{Message, Outcome, PushSettings, Pusher};
use crate::letter::Answer;

/// A Firebase project.
pub(crate) struct Fcm {
    http: Http,
    address: String,
    account: Account,
}

impl Fcm {
    pub fn new(settings: &PushSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http: Http::new(settings.timeout())?,
            address: format!("{}/v1/projects/{}/messages:send", settings.url, settings.project),
            account: Account::new(settings.account()?)?,
        })
    }
}

#[async_trait]
impl Pusher for Fcm {
    async fn push(&self, message: Message<'_>) -> Outcome {
        let token = match self.account.token(&self.http).await {
            Ok(token) => token,
            Err(error) => return Outcome::Told(Answer::NotNow(error)),
        };
        let body = Send {
            message: Target {
                token: message.token,
                notification: Notice { title: message.title, body: message.body },
                data: Data { subject_id: message.subject_id, event_type: message.event_type },
            },
        };
        let request = self.http.client().post(&self.address).bearer_auth(token.reveal()).json(&body);
        let reply = match self.http.send(request).await {
            Ok(reply) if reply.status.is_success() => return Outcome::Told(Answer::Taken),
            Ok(reply) => reply,
            Err(Failed::NotDone(error)) => return Outcome::Told(Answer::NotNow(error)),
            Err(Failed::Unknown(error)) => return Outcome::Told(Answer::Unknown(error)),
        };
        // An answer that is not understood refuses it all the same.
        let refused: Refused = reply.read().unwrap_or_default();
        let code = refused.error.code();
        let text = format!("FCM answered {} {code}: {}", reply.status, refused.error.message);
        match reply.status {
            StatusCode::NOT_FOUND if code == "UNREGISTERED" => Outcome::Unregistered,
            StatusCode::UNAUTHORIZED => {
                self.account.forget(&token).await;
                Outcome::Told(Answer::NotNow(text))
            }
            // About us and not about the message, unless FCM says so: it waits until somebody mends the configuration.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if code.is_empty() => {
                Outcome::Told(Answer::NotNow(text))
            }
            _ => Outcome::Told(Answer::Never(text)),
        }
    }
}
