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
        let Some(payment) = &event.payment else {
            return Err(Failure::Permanent("the event carries no payment".to_owned()));
        };
        let time = from_chrono(delivery.time);
        let all = payment.refunded_minor >= payment.amount_minor;
        // What another payment gives back says nothing about an order that this one has not paid for.
        let news = |order: &Order| {
            (all && order.payment_id == payment.id).then_some(course::News::Refunded { time })
        };
        self.hear(delivery, &event, &event.order_id, news).await
    }
}
