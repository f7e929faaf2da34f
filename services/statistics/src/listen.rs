//! What `statistics` does when others speak: it adds what they say to the row of the order.

use artel_handle::{Delivery, Listener};
use artel_proto::Event;
use artel_proto::billing::PaymentRefunded;
use artel_proto::order::{Order, OrderPaid, OrderPlaced};
use artel_proto::robotics::{OrderPreparing, OrderReady};
use artel_proto::statistics::OrderFact;
use artel_queue::Failure;
use artel_repo::{Commit, Repo, digest};
use artel_util::time::from_chrono;
use async_trait::async_trait;
use bytes::Bytes;

use crate::facts::{News, add};

/// How often a row is looked at anew where another event about the order is written at the same time.
const ATTEMPTS: usize = 10;

/// Keeps the rows.
#[derive(Clone)]
pub(crate) struct Clerk {
    repo: Repo,
}

impl Clerk {
    pub(crate) fn new(repo: Repo) -> Self {
        Self { repo }
    }

    /// Adds the news to the order's row, once for each event.
    async fn note<E: Event>(
        &self,
        delivery: &Delivery,
        event: &E,
        (order_id, user_id): (&str, &str),
        news: News<'_>,
    ) -> Result<(), Failure> {
        let call = &delivery.call;
        for _ in 0..ATTEMPTS {
            let known: Option<OrderFact> = self.repo.get(call, order_id).await?;
            let is_new = known.is_none();
            let mut fact = known.unwrap_or_else(|| OrderFact {
                id: order_id.to_owned(),
                user_id: user_id.to_owned(),
                ..OrderFact::default()
            });
            add(&mut fact, &news);
            let commit = if is_new {
                Commit::new().insert(&fact)
            } else {
                Commit::new().upsert(&fact).expect_version(fact.version)
            };
            match self.repo.commit(call, commit.once(delivery.key(), digest(event), Bytes::new())).await {
                Ok(_) => {
                    metrics::counter!("artel_statistics_heard_total", "event" => E::NAME).increment(1);
                    return Ok(());
                }
                // Another event about the order was written since.
                Err(error)
                    if matches!(
                        error.reason(),
                        "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "UNIQUE_VIOLATION"
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Later { reason: format!("the row of {order_id} is written all the time"), wait: None })
    }
}

#[async_trait]
impl Listener<OrderPlaced> for Clerk {
    async fn hear(&self, delivery: &Delivery, event: OrderPlaced) -> Result<(), Failure> {
        let order = dishes(event.order.as_ref())?;
        let Some(order) = order else { return Ok(()) };
        self.note(delivery, &event, (&event.order_id, &event.user_id), News::Placed(order)).await
    }
}

#[async_trait]
impl Listener<OrderPaid> for Clerk {
    async fn hear(&self, delivery: &Delivery, event: OrderPaid) -> Result<(), Failure> {
        let order = dishes(event.order.as_ref())?;
        let Some(order) = order else { return Ok(()) };
        let news = News::Paid { order, time: from_chrono(delivery.time) };
        self.note(delivery, &event, (&event.order_id, &event.user_id), news).await
    }
}

#[async_trait]
impl Listener<OrderPreparing> for Clerk {
    async fn hear(&self, delivery: &Delivery, event: OrderPreparing) -> Result<(), Failure> {
        let start = event.start_time.unwrap_or_else(|| from_chrono(delivery.time));
        let news = News::Preparing { start };
        self.note(delivery, &event, (&event.order_id, &event.user_id), news).await
    }
}

#[async_trait]
impl Listener<OrderReady> for Clerk {
    async fn hear(&self, delivery: &Delivery, event: OrderReady) -> Result<(), Failure> {
        let ready = event.ready_time.unwrap_or_else(|| from_chrono(delivery.time));
        let news = News::Ready { start: event.start_time, ready };
        self.note(delivery, &event, (&event.order_id, &event.user_id), news).await
    }
}

#[async_trait]
impl Listener<PaymentRefunded> for Clerk {
    async fn hear(&self, delivery: &Delivery, event: PaymentRefunded) -> Result<(), Failure> {
        let refund = event.refund.as_ref();
        let refund = refund.ok_or_else(|| Failure::Permanent("the event carries no refund".to_owned()))?;
        self.note(delivery, &event, (&event.order_id, &event.user_id), News::Refunded(refund)).await
    }
}

/// The order, where it is one of dishes: those of the shop are not counted here.
fn dishes(order: Option<&Order>) -> Result<Option<&Order>, Failure> {
    let order = order.ok_or_else(|| Failure::Permanent("the event carries no order".to_owned()))?;
    Ok((order.board_number > 0).then_some(order))
}
