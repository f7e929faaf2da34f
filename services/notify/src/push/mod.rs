//! Push messages: to each device at most once. The provider takes no key and cannot be asked whether it has a message, so
//! that one of which nobody knows is not sent again; what it says stands in the application all the same.

mod client;
mod settings;
mod token;
mod wire;

use std::sync::Arc;

use artel_client::Call;
use artel_proto::notify::{Push, PushDevice};
use artel_repo::{Commit, Repo};
use async_trait::async_trait;

use crate::letter::Answer;
use crate::outbox::Carrier;

pub(crate) use client::Fcm;
pub(crate) use settings::PushSettings;

/// Sends messages to devices.
#[async_trait]
pub(crate) trait Pusher: Send + Sync + 'static {
    /// Sends a message once.
    async fn push(&self, message: Message<'_>) -> Outcome;
}

/// A message to a device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// The device's registration token.
    pub token: &'a str,
    pub title: &'a str,
    pub body: &'a str,
    /// What it is about, for the application.
    pub subject_id: &'a str,
    /// What happened, for the application.
    pub event_type: &'a str,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What is known of any letter.
    Told(Answer),
    /// The device takes no messages any more.
    Unregistered,
}

/// Takes push messages to a pusher, and forgets devices that are no more.
pub(crate) struct Alerter {
    pusher: Arc<dyn Pusher>,
    repo: Repo,
}

impl Alerter {
    pub fn new(pusher: Arc<dyn Pusher>, repo: Repo) -> Self {
        Self { pusher, repo }
    }

    async fn forget(&self, call: &Call, device: &PushDevice) {
        // Of the token as it was: it may be registered anew meanwhile.
        let commit = Commit::new().delete::<PushDevice>(&device.id).expect_version(device.version);
        match self.repo.commit(call, commit).await {
            Ok(_) => tracing::info!(device = device.id, "a device is no more"),
            // The next message finds it out again.
            Err(error) => {
                tracing::warn!(%error, device = device.id, "cannot forget a device that is no more")
            }
        }
    }
}

#[async_trait]
impl Carrier<Push> for Alerter {
    async fn carry(&self, call: &Call, push: &Push) -> Answer {
        let device = match self.repo.get::<PushDevice>(call, &push.device_id).await {
            // Whoever has the device now is not whom this is for.
            Ok(device) => device.filter(|device| device.user_id == push.user_id),
            Err(error) => return Answer::NotNow(error.to_string()),
        };
        let Some(device) = device else { return Answer::Never("the device is no more".to_owned()) };
        let message = Message {
            token: &device.token,
            title: &push.title,
            body: &push.body,
            subject_id: &push.subject_id,
            event_type: &push.event_type,
        };
        match self.pusher.push(message).await {
            Outcome::Told(answer) => answer,
            Outcome::Unregistered => {
                self.forget(call, &device).await;
                Answer::Never("the device takes no messages any more".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod sandbox_tests;
#[cfg(test)]
pub(crate) mod tests;
