//! What `order` does when the kitchen and `billing` speak.

use artel_handle::{Delivery, Listener};
use artel_proto::Event;
use artel_proto::billing::PaymentRefunded;
use artel_proto::order::Order;
use artel_proto::robotics::{OrderPreparing, OrderReady};
use artel_queue::Failure;
use artel_repo::digest;
use artel_util::time::from_chrono;
use async_trait::async_trait;
use bytes::Bytes;

use super::course;
use super::moves::Course;

/// Carries orders forward as others say.
#[derive(Clone)]
pub(crate) struct News(Course);

impl News {
    pub(crate) fn new(course: Course) -> Self {
        Self(course)
    }

    async fn hear<E: Event>(
        &self,
        delivery: &Delivery,
        event: &E,
        order_id: &str,
        news: impl Fn(&Order) -> Option<course::News>,
    ) -> Result<(), Failure> {
        let once = |commit: artel_repo::Commit| commit.once(delivery.key(), digest(event), Bytes::new());
        self.0.hear(&delivery.call, order_id, news, once).await?;
        Ok(())
    }
}

#[async_trait]
impl Listener<OrderPreparing> for News {
    async fn hear(&self, delivery: &Delivery, event: OrderPreparing) -> Result<(), Failure> {
        let start = event.start_time.unwrap_or_else(|| from_chrono(delivery.time));
        self.hear(delivery, &event, &event.order_id, |_| Some(course::News::Preparing { start })).await
    }
}

#[async_trait]
impl Listener<OrderReady> for News {
    async fn hear(&self, delivery: &Delivery, event: OrderReady) -> Result<(), Failure> {
        let ready = event.ready_time.unwrap_or_else(|| from_chrono(delivery.time));
        let news = |_: &Order| Some(course::News::Ready { start: event.start_time, ready });
        self.hear(delivery, &event, &event.order_id, news).await
    }
}

#[async_trait]
impl Listener<PaymentRefunded> for News {
    async fn hear(&self, delivery: &Delivery, event: PaymentRefunded) -> Result<(), Failure> {
        let refund = event.refund.as_ref();
        let refund = refund.ok_or_else(|| Failure::Permanent("the event carries no refund".to_owned()))?;
        // What the payment has given back in all counts refunds that are under way and may fail yet.
        let (amount_minor, time) = (refund.amount_minor, from_chrono(delivery.time));
        // What another payment gives back says nothing about an order that it has not paid for.
        let news = |order: &Order| {
            let own = order.payment_id.eq_ignore_ascii_case(&event.payment_id);
            own.then_some(course::News::Refunded { amount_minor, time })
        };
        self.hear(delivery, &event, &event.order_id, news).await
    }
}
