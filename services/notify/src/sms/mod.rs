//! SMS. One that carries a code is written without text, which is asked for when it is sent: no secret is kept, and what
//! is used or dead is not sent.

mod client;
mod settings;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use artel_client::{Call, Channel};
use artel_handle::Live;
use artel_proto::identity::RevealCodeRequest;
use artel_proto::identity::guest_service_client::GuestServiceClient;
use artel_proto::notify::Sms;
use artel_util::Error;
use async_trait::async_trait;
use chrono::Utc;

use crate::config::Settings;
use crate::language::Language;
use crate::letter::{Answer, Letter as _};
use crate::outbox::Carrier;
use crate::templates::Templates;

pub(crate) use client::Smsc;
pub(crate) use settings::SmsSettings;

/// Sends text to phones. It knows each message by our id, so that it can be asked whether it has one.
#[async_trait]
pub(crate) trait Messenger: Send + Sync + 'static {
    /// Sends a message once.
    async fn send(&self, message: Message<'_>) -> Answer;

    /// Whether it has taken this message.
    ///
    /// # Errors
    /// Why it cannot be known now.
    async fn has(&self, id: &str, phone: &str) -> Result<bool, String>;
}

/// A message to a phone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub id: &'a str,
    /// In E.164.
    pub phone: &'a str,
    pub text: &'a str,
    /// For how long it is worth delivering.
    pub lasts: Option<Duration>,
}

/// Takes SMS to a messenger: once each, since one that may have been taken is asked after first.
pub(crate) struct Texter {
    messenger: Arc<dyn Messenger>,
    identity: GuestServiceClient<Channel>,
    templates: Templates,
    settings: Live<Settings>,
}

impl Texter {
    pub fn new(
        messenger: Arc<dyn Messenger>,
        identity: GuestServiceClient<Channel>,
        templates: Templates,
        settings: Live<Settings>,
    ) -> Self {
        Self { messenger, identity, templates, settings }
    }

    /// The text with a code.
    async fn code(&self, call: &Call, id: &str) -> Result<String, Answer> {
        let request = call.request(RevealCodeRequest { id: id.to_owned() });
        let revealed = self.identity.clone().reveal_code(request).await.map_err(|status| {
            let error = Error::from(status);
            if error.reason() == "CODE_NOT_FOUND" {
                Answer::Never("the code is used, dead or expired".to_owned())
            } else {
                Answer::NotNow(format!("the code is not told: {error}"))
            }
        })?;
        let revealed = revealed.into_inner();
        let language = match Language::of(&revealed.locale) {
            Some(language) => language,
            None => self.settings.get().language().map_err(|error| Answer::NotNow(error.to_string()))?,
        };
        self.templates.code(language, &revealed.code).map_err(|error| Answer::NotNow(error.to_string()))
    }

    async fn try_to_carry(&self, call: &Call, sms: &Sms) -> Result<Answer, Answer> {
        // It was begun before: by one who died, or who was not answered.
        if sms.attempts > 1 {
            let has = self.messenger.has(&sms.id, &sms.phone).await;
            if has.map_err(|error| Answer::NotNow(format!("cannot ask whether it was taken: {error}")))? {
                return Ok(Answer::Taken);
            }
        }
        let lasts = sms.late().map(|late| late - Utc::now());
        if lasts.is_some_and(|lasts| lasts.num_seconds() <= 0) {
            return Ok(Answer::Never("it is too late".to_owned()));
        }
        let code = match sms.text.is_empty() {
            true => Some(self.code(call, &sms.subject_id).await?),
            false => None,
        };
        let message = Message {
            id: &sms.id,
            phone: &sms.phone,
            text: code.as_deref().unwrap_or(&sms.text),
            lasts: lasts.and_then(|lasts| lasts.to_std().ok()),
        };
        Ok(self.messenger.send(message).await)
    }
}

#[async_trait]
impl Carrier<Sms> for Texter {
    async fn carry(&self, call: &Call, sms: &Sms) -> Answer {
        self.try_to_carry(call, sms).await.unwrap_or_else(|answer| answer)
    }
}

#[cfg(test)]
mod sandbox_tests;
#[cfg(test)]
pub(crate) mod tests;
