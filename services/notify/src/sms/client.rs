//! SMSC (smsc.kz, smsc.ru) over its HTTP API.

use artel_config::Secret;
use artel_outside::{Failed, Http};
use async_trait::async_trait;
use form_urlencoded::Serializer;
use reqwest::header::CONTENT_TYPE;

use super::wire::{Sent, Status, valid};
use super::{Message, Messenger, SmsSettings};
use crate::letter::Answer;

/// An account at SMSC.
pub(crate) struct Smsc {
    http: Http,
    url: String,
    login: String,
    password: Secret,
    sender: String,
}

impl Smsc {
    pub fn new(settings: &SmsSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http: Http::new(settings.timeout())?,
            url: settings.url.clone(),
            login: settings.login.clone(),
            password: settings.password.clone(),
            sender: settings.sender.clone(),
        })
    }

    #[cfg(test)]
    pub fn with_password(self, password: &str) -> Self {
        Self { password: Secret::new(password), ..self }
    }

    /// POST, so that neither password nor text stands in an address.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        page: &str,
        fields: &[(&str, &str)],
    ) -> Result<T, Failed> {
        let form = Serializer::new(String::new())
            .append_pair("login", &self.login)
            .append_pair("psw", self.password.reveal())
            .append_pair("fmt", "3")
            .append_pair("charset", "utf-8")
            .extend_pairs(fields)
            .finish();
        let request = self.http.client().post(format!("{}/{page}", self.url));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let reply = self.http.send(request).await?;
        if reply.status.is_client_error() {
            return Err(Failed::NotDone(format!("answered {}: is the address right?", reply.status)));
        }
        reply.read()
    }
}

#[async_trait]
impl Messenger for Smsc {
    async fn send(&self, message: Message<'_>) -> Answer {
        let mut fields = vec![("phones", message.phone), ("mes", message.text), ("id", message.id)];
        let lasts = message.lasts.map(valid);
        fields.extend(lasts.as_deref().map(|lasts| ("valid", lasts)));
        if !self.sender.is_empty() {
            fields.push(("sender", &self.sender));
        }
        match self.ask::<Sent>("send.php", &fields).await {
            Ok(sent) => sent.answer(),
            Err(Failed::NotDone(error)) => Answer::NotNow(error),
            Err(Failed::Unknown(error)) => Answer::Unknown(error),
        }
    }

    async fn has(&self, id: &str, phone: &str) -> Result<bool, String> {
        let status = self.ask::<Status>("status.php", &[("phone", phone), ("id", id)]).await;
        status.map_err(Failed::text)?.has_it()
    }
}
