//! What `notify` does when others speak.

use std::sync::Arc;

use artel_client::{Call, Channel};
use artel_handle::{Delivery, Listener, Live};
use artel_proto::billing::PaymentRefunded;
use artel_proto::identity::guest_service_client::GuestServiceClient;
use artel_proto::identity::{PhoneCodeRequested, RevealCodeRequest, User};
use artel_proto::notify::{EmailQueued, Preferences, PushDevice, PushQueued, SendStatus, Sms, SmsQueued};
use artel_proto::order::{Order, OrderCancelled, OrderPaid, OrderPlaced};
use artel_proto::robotics::OrderReady;
use artel_queue::Failure;
use artel_repo::{Commit, Direction, Query, Repo, digest};
use artel_util::time::{from_chrono, to_chrono};
use artel_util::{Error, new_id};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Settings;
use crate::domain;
use crate::letter::{EVENT_FIRST, Letter};
use crate::outbox::Outbox;
use crate::templates::{News, Templates};

/// Devices of one person that are told, those registered last.
const MOST_DEVICES: i32 = 20;

/// Writes down what a person is told about what is theirs, once for each event.
#[derive(Clone)]
pub(crate) struct Teller {
    repo: Repo,
    templates: Templates,
    settings: Live<Settings>,
}

/// Whom to tell what.
struct Matter<'a> {
    user_id: &'a str,
    subject_id: &'a str,
    news: News<'a>,
    time: DateTime<Utc>,
    digest: Bytes,
}

#[async_trait]
impl Listener<OrderPlaced> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderPlaced) -> Result<(), Failure> {
        let order = carried(event.order.as_ref())?;
        let time = order.create_time.as_ref();
        self.tell_shop(delivery, &event.user_id, order, News::Placed(order), time, digest(&event)).await
    }
}

#[async_trait]
impl Listener<OrderCancelled> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderCancelled) -> Result<(), Failure> {
        let order = carried(event.order.as_ref())?;
        let time = order.cancel_time.as_ref();
        self.tell_shop(delivery, &event.user_id, order, News::Cancelled(order), time, digest(&event)).await
    }
}

#[async_trait]
impl Listener<OrderPaid> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderPaid) -> Result<(), Failure> {
        let order = carried(event.order.as_ref())?;
        self.tell(
            delivery,
            Matter {
                user_id: &event.user_id,
                subject_id: &event.order_id,
                news: News::Paid(order),
                time: order.pay_time.as_ref().and_then(to_chrono).unwrap_or(delivery.time),
                digest: digest(&event),
            },
        )
        .await
    }
}

#[async_trait]
impl Listener<OrderReady> for Teller {
    async fn hear(&self, delivery: &Delivery, event: OrderReady) -> Result<(), Failure> {
        self.tell(
            delivery,
            Matter {
                user_id: &event.user_id,
                subject_id: &event.order_id,
                news: News::Ready(event.board_number),
                time: event.ready_time.as_ref().and_then(to_chrono).unwrap_or(delivery.time),
                digest: digest(&event),
            },
        )
        .await
    }
}

#[async_trait]
impl Listener<PaymentRefunded> for Teller {
    async fn hear(&self, delivery: &Delivery, event: PaymentRefunded) -> Result<(), Failure> {
        let refund = event.refund.as_ref();
        let refund = refund.ok_or_else(|| Failure::Permanent("the event carries no refund".to_owned()))?;
        self.tell(
            delivery,
            Matter {
                user_id: &event.user_id,
                subject_id: &event.order_id,
                news: News::Refunded(refund),
                time: delivery.time,
                digest: digest(&event),
            },
        )
        .await
    }
}

impl Teller {
    pub fn new(repo: Repo, templates: Templates, settings: Live<Settings>) -> Self {
        Self { repo, templates, settings }
    }

    /// Tells of an order of the shop. Of one of dishes nothing is told before it is paid: whoever places it stands before
    /// the board, and what is not paid goes by itself.
    async fn tell_shop(
        &self,
        delivery: &Delivery,
        user_id: &str,
        order: &Order,
        news: News<'_>,
        time: Option<&artel_proto::Timestamp>,
        digest: Bytes,
    ) -> Result<(), Failure> {
        if order.board_number > 0 {
            return Ok(());
        }
        let time = time.and_then(to_chrono).unwrap_or(delivery.time);
        self.tell(delivery, Matter { user_id, subject_id: &order.id, news, time, digest }).await
    }

    async fn tell(&self, delivery: &Delivery, matter: Matter<'_>) -> Result<(), Failure> {
        let (call, user_id) = (&delivery.call, matter.user_id);
        let settings = self.settings.get();
        let (person, preferences) = tokio::try_join!(
            self.repo.get::<User>(call, user_id),
            self.repo.get::<Preferences>(call, user_id),
        )?;
        let person = person.ok_or_else(|| Failure::Permanent(format!("there is no user {user_id}")))?;
        let mut preferences = preferences.unwrap_or_else(|| domain::default_preferences(user_id));
        // What no provider takes is not written.
        preferences.sms &= settings.sms.is_on();
        preferences.push &= settings.push.is_on();
        let devices = if preferences.push { self.devices(call, user_id).await? } else { Vec::new() };
        let voice = settings.voice(self.templates.clone()).map_err(Error::internal)?;
        let language = domain::language(&preferences, &person, voice.language);
        let words = voice.write(matter.news, &person, language, matter.time)?;
        let event = (delivery.event_id.as_str(), delivery.event.as_str());
        let told = domain::told(words, &preferences, &person, &devices, event, matter.subject_id, Utc::now());
        let commit = told.commit();
        if commit.is_empty() {
            return Ok(());
        }
        written(self.repo.commit(call, commit.once(delivery.key(), matter.digest, Bytes::new())).await)
    }

    async fn devices(&self, call: &Call, user_id: &str) -> Result<Vec<PushDevice>, Error> {
        let query =
            Query::new().equal("user_id", user_id).order("id", Direction::Descending).page(MOST_DEVICES, "");
        Ok(self.repo.query(call, query).await?.items)
    }
}

fn carried(order: Option<&Order>) -> Result<&Order, Failure> {
    order.ok_or_else(|| Failure::Permanent("the event carries no order".to_owned()))
}

/// Written, now or before.
fn written<T>(committed: Result<T, Error>) -> Result<(), Failure> {
    match committed {
        Ok(_) => Ok(()),
        // The event came again after its key was swept: one row an event and person is a law of the table, too.
        Err(error) if error.reason() == "UNIQUE_VIOLATION" => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes down that a code is to be sent, once for each.
pub(crate) struct CodeSender {
    repo: Repo,
    identity: GuestServiceClient<Channel>,
    settings: Arc<Settings>,
}

impl CodeSender {
    pub fn new(repo: Repo, identity: GuestServiceClient<Channel>, settings: Arc<Settings>) -> Self {
        Self { repo, identity, settings }
    }
}

#[async_trait]
impl Listener<PhoneCodeRequested> for CodeSender {
    async fn hear(&self, delivery: &Delivery, event: PhoneCodeRequested) -> Result<(), Failure> {
        if !self.settings.sms.is_on() {
            tracing::warn!(code = event.code_id, "a code cannot be sent: notify.sms.url is empty");
            return Ok(());
        }
        let request = delivery.call.request(RevealCodeRequest { id: event.code_id.clone() });
        // The code itself is asked for when it is sent.
        let code = match self.identity.clone().reveal_code(request).await.map_err(Error::from) {
            Ok(revealed) => revealed.into_inner(),
            Err(error) if error.reason() == "CODE_NOT_FOUND" => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let now = Utc::now();
        let expire_time = from_chrono(now + TimeDelta::seconds(code.expires_in.into()));
        let sms = Sms {
            id: new_id(),
            event_id: delivery.event_id.clone(),
            event_type: delivery.event.clone(),
            subject_id: event.code_id.clone(),
            phone: code.phone,
            status: SendStatus::Pending.into(),
            lease_time: Some(from_chrono(now + EVENT_FIRST)),
            expire_time: Some(expire_time),
            ..Sms::default()
        };
        let commit = Commit::new()
            .insert(&sms)
            .publish_until(&SmsQueued { sms_id: sms.id.clone() }, expire_time)
            .once(delivery.key(), digest(&event), Bytes::new());
        written(self.repo.commit(&delivery.call, commit).await)
    }
}

/// Sends the letters of a channel that were written.
pub(crate) struct Postman<L>(Outbox<L>);

impl<L> Postman<L> {
    pub fn new(outbox: Outbox<L>) -> Self {
        Self(outbox)
    }
}

/// An event that says that a letter waits.
pub(crate) trait Queued: artel_proto::Event {
    /// Which.
    fn letter(&self) -> &str;
}

impl Queued for EmailQueued {
    fn letter(&self) -> &str {
        &self.email_id
    }
}

impl Queued for SmsQueued {
    fn letter(&self) -> &str {
        &self.sms_id
    }
}

impl Queued for PushQueued {
    fn letter(&self) -> &str {
        &self.push_id
    }
}

#[async_trait]
impl<E: Queued, L: Letter> Listener<E> for Postman<L> {
    async fn hear(&self, delivery: &Delivery, event: E) -> Result<(), Failure> {
        self.0.send(&delivery.call, event.letter()).await
    }
}
