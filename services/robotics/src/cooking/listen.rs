//! A paid order becomes a cooking job.

use artel_client::Call;
use artel_handle::{Delivery, Listener};
use artel_proto::Entity as _;
use artel_proto::order::OrderPaid;
use artel_proto::robotics::{CookingJob, Reservation, ReservationStatus};
use artel_queue::Failure;
use artel_repo::{Commit, Repo, digest};
use artel_util::Error;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use tokio::sync::mpsc;

use super::rules::job;
use crate::error::Refusal;
use crate::reserve::is_overtaken;

/// How often it is begun anew when somebody was faster.
const ATTEMPTS: usize = 5;

/// Takes paid orders on: one job for each, in one commit with what becomes of its ingredients.
pub(crate) struct Accept {
    repo: Repo,
    /// To whoever hands jobs to the line. Where it is full, the next look at what is due finds the job.
    hand: mpsc::Sender<(Call, CookingJob)>,
}

impl Accept {
    pub(crate) fn new(repo: Repo, hand: mpsc::Sender<(Call, CookingJob)>) -> Self {
        Self { repo, hand }
    }
}

#[async_trait]
impl Listener<OrderPaid> for Accept {
    async fn hear(&self, delivery: &Delivery, event: OrderPaid) -> Result<(), Failure> {
        if event.order.is_none() {
            return Err(Failure::Permanent("the event carries no order".to_owned()));
        }
        let Some(job) = job(&event, Utc::now()) else { return Ok(()) };
        let call = &delivery.call;
        for _ in 0..ATTEMPTS {
            let reservation = self.repo.get::<Reservation>(call, &event.payment_id).await?;
            let commit = used(Commit::new().insert(&job), reservation, &event).once(
                delivery.key(),
                digest(&event),
                Bytes::new(),
            );
            match self.repo.commit(call, commit).await {
                Ok(committed) if committed.replayed => return Ok(()),
                Ok(_) => {
                    let _ = self.hand.try_send((call.clone(), job));
                    return Ok(());
                }
                // The event came again after its key was swept: an order has one job by the law of the table, too.
                Err(error)
                    if error.reason() == "UNIQUE_VIOLATION"
                        && error.get("entity") == Some(CookingJob::NAME) =>
                {
                    return Ok(());
                }
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::from(Refusal::Busy).into())
    }
}

/// The reservation is cooked. An order that was paid for is cooked in any case: where nothing stands reserved for it,
/// somebody has to know.
fn used(commit: Commit, reservation: Option<Reservation>, event: &OrderPaid) -> Commit {
    let status = reservation.as_ref().map(Reservation::status);
    if status != Some(ReservationStatus::Held) {
        metrics::counter!("artel_robotics_unreserved_orders_total").increment(1);
        tracing::warn!(order = event.order_id, ?status, "a paid order has no ingredients set aside");
    }
    match reservation {
        Some(mut reservation) if status == Some(ReservationStatus::Held) => {
            reservation.set_status(ReservationStatus::Used);
            commit.update(&reservation, &["status"]).expect_version(reservation.version)
        }
        Some(_) => commit,
        None => {
            let (id, order_id) = (event.payment_id.clone(), event.order_id.clone());
            let mut missing = Reservation { id, order_id, ..Reservation::default() };
            missing.set_status(ReservationStatus::Used);
            commit.insert(&missing)
        }
    }
}
