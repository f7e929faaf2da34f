//! What `notify` does when others speak.

use artel_handle::{Delivery, Listener, Live};
use artel_proto::identity::User;
use artel_proto::notify::{EmailQueued, Preferences};
use artel_proto::order::{Order, OrderCancelled, OrderPlaced};
use artel_queue::Failure;
use artel_repo::{Commit, Repo, digest};
use artel_util::Error;
use artel_util::time::to_chrono;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;

use crate::config::Settings;
use crate::domain;
use crate::outbox::Outbox;
use crate::templates::{Change, Templates};

/// Writes down what a person is told about a change of their order, once for each event.
#[derive(Clone)]
pub(crate) struct Teller {
    repo: Repo,
    templates: Templates,
    settings: Live<Settings>,
}

#[async_trait]
impl Listener<OrderPlaced> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderPlaced) -> Result<(), Failure> {
        let digest = digest(&event);
        self.tell(delivery, Change::Placed, &event.user_id, event.order, digest).await
    }
}

#[async_trait]
impl Listener<OrderCancelled> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderCancelled) -> Result<(), Failure> {
        let digest = digest(&event);
        self.tell(delivery, Change::Cancelled, &event.user_id, event.order, digest).await
    }
}

impl Teller {
    pub fn new(repo: Repo, templates: Templates, settings: Live<Settings>) -> Self {
        Self { repo, templates, settings }
    }

    async fn tell(
        &self,
        delivery: &Delivery,
        change: Change,
        user_id: &str,
        order: Option<Order>,
        digest: Bytes,
    ) -> Result<(), Failure> {
        let call = &delivery.call;
        let order = order.ok_or_else(|| Failure::Permanent("the event carries no order".to_owned()))?;
        let (person, preferences) = tokio::try_join!(
            self.repo.get::<User>(call, user_id),
            self.repo.get::<Preferences>(call, user_id),
        )?;
        let person = person.ok_or_else(|| Failure::Permanent(format!("there is no user {user_id}")))?;
        let preferences = preferences.unwrap_or_else(|| domain::default_preferences(user_id));
        let time = match change {
            Change::Placed => &order.create_time,
            Change::Cancelled => &order.cancel_time,
        };
        let time = time.as_ref().and_then(to_chrono).unwrap_or(delivery.time);
        let voice = self.settings.get().voice(self.templates.clone()).map_err(Error::internal)?;
        let language = domain::language(&preferences, &person, voice.language);
        let words = voice.write(change, &order, &person, language, time)?;
        let event = (delivery.event_id.as_str(), delivery.event.as_str());
        let (notification, email) = domain::told(words, &preferences, &person, event, &order.id, Utc::now());

        let mut commit = Commit::new();
        if let Some(notification) = &notification {
            commit = commit.insert(notification);
        }
        if let Some(email) = &email {
            commit = commit.insert(email).publish(&EmailQueued { email_id: email.id.clone() });
        }
        if commit.is_empty() {
            return Ok(());
        }
        match self.repo.commit(call, commit.once(delivery.key(), digest, Bytes::new())).await {
            Ok(_) => Ok(()),
            // The event came again after its key was swept: one row an event and person is a law of the table, too.
            Err(error) if error.reason() == "UNIQUE_VIOLATION" => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends the e-mails that were written.
#[derive(Clone)]
pub(crate) struct Postman(Outbox);

impl Postman {
    pub fn new(outbox: Outbox) -> Self {
        Self(outbox)
    }
}

#[async_trait]
impl Listener<EmailQueued> for Postman {
    async fn hear(&self, delivery: &Delivery, event: EmailQueued) -> Result<(), Failure> {
        self.0.send(&delivery.call, &event.email_id).await
    }
}
