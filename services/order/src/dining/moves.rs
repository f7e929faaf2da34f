//! What becomes of an order in the kitchen and after: its state, its move on the board, its number and what is told, in
//! one commit.

use artel_client::Call;
use artel_proto::order::{BoardNumber, Order, OrderHandedOver, OrderStatus};
use artel_repo::{Commit, Repo};
use artel_util::{Error, now};

use super::course::{Advanced, News, advance, is_dishes};
use crate::board::Log;
use crate::error::Refusal;
use crate::place::{ATTEMPTS, is_overtaken};

/// Carries orders forward.
#[derive(Clone)]
pub(crate) struct Course {
    repo: Repo,
    log: Log,
}

impl Course {
    pub(crate) fn new(repo: Repo, log: Log) -> Self {
        Self { repo, log }
    }

    /// Does what the news about an order mean for it, if anything; the order as it is then. `once` makes the commit one
    /// that happens once.
    pub(super) async fn hear(
        &self,
        call: &Call,
        id: &str,
        news: impl Fn(&Order) -> Option<News>,
        once: impl Fn(Commit) -> Commit,
    ) -> Result<Option<Order>, Error> {
        for _ in 0..ATTEMPTS {
            let order: Option<Order> = self.repo.get(call, id).await?;
            let Some(order) = order.filter(is_dishes) else { return Ok(None) };
            let Some(advanced) = news(&order).and_then(|news| advance(&order, &news)) else {
                return Ok(Some(order));
            };
            match self.commit(call, advanced, &once).await {
                Ok(order) => return Ok(Some(order)),
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Refusal::Busy.into())
    }

    /// Notes that a guest has taken an order.
    pub(crate) async fn hand_over(&self, call: &Call, id: &str) -> Result<Order, Error> {
        let order = self.hear(call, id, |_| Some(News::HandedOver { time: now() }), |commit| commit).await?;
        let order = order.ok_or(Refusal::NoSuchOrder)?;
        if order.status() != OrderStatus::HandedOver {
            return Err(Refusal::NotReady.into());
        }
        Ok(order)
    }

    async fn commit(
        &self,
        call: &Call,
        advanced: Advanced,
        once: impl Fn(Commit) -> Commit,
    ) -> Result<Order, Error> {
        let Advanced { mut order, fields, moved, on_board } = advanced;
        order.update_time = Some(now());
        let fields: Vec<&str> = fields.iter().copied().chain(["update_time"]).collect();
        let mut commit = Commit::new().update(&order, &fields).expect_version(order.version);
        order.version += 1;
        if moved && matches!(order.status(), OrderStatus::HandedOver | OrderStatus::Refunded) {
            commit = commit.delete::<BoardNumber>(&order.id);
        }
        if moved && order.status() == OrderStatus::HandedOver {
            commit = commit.publish(&OrderHandedOver {
                order_id: order.id.clone(),
                user_id: order.user_id.clone(),
                order: Some(order.clone()),
            });
        }
        let commit = once(commit);
        if on_board {
            self.log.commit(call, &order, commit).await?;
        } else {
            self.repo.commit(call, commit).await?;
        }
        Ok(order)
    }
}
