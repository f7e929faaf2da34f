//! What nobody came back for: orders that are not paid are cancelled, those that nobody said were taken count as handed
//! over, and what is kept of the past goes.

use artel_client::Call;
use artel_handle::Live;
use artel_proto::order::{BoardMove, Order, OrderStatus, ReleasedClaim};
use artel_proto::persist::Operator;
use artel_repo::{Commit, Direction, Filter, Query, Repo};
use artel_util::time::{from_chrono, is_past, to_chrono};
use artel_util::{Error, now};
use chrono::{TimeDelta, Utc};

use super::moves::Course;
use crate::board::Log;
use crate::place::{cancel_now, is_overtaken};
use crate::settings::Settings;

/// Read or deleted at once.
const AT_ONCE: i32 = 200;
/// How long it is remembered that a payment let an order go: longer than any saga tries.
const RELEASED_DAYS: i64 = 30;

/// Looks after orders that somebody waits for in vain.
#[derive(Clone)]
pub(crate) struct Waiter {
    repo: Repo,
    course: Course,
    settings: Live<Settings>,
}

impl Waiter {
    pub(crate) fn new(repo: Repo, course: Course, settings: Live<Settings>) -> Self {
        Self { repo, course, settings }
    }

    /// Cancels what was not paid in time. What a payment has taken is left to it.
    pub(crate) async fn expire(&self, call: &Call) -> Result<(), Error> {
        let late = || {
            Query::new().equal("status", OrderStatus::Placed.as_str_name()).filter(Filter::compare(
                "expire_time",
                Operator::Less,
                [now().into()],
            ))
        };
        for workspace in self.repo.workspaces::<Order>(call, late()).await? {
            let call = Call { workspace, ..call.clone() };
            loop {
                let query = late().order("expire_time", Direction::Ascending).page(AT_ONCE, "");
                let page = self.repo.query::<Order>(&call, query).await?;
                let last = page.next_page_token.is_empty();
                for order in page.items {
                    // Another copy may be faster, or a payment: then it is not ours any more.
                    if cancel_now(&self.repo, &call, order).await?.is_some() {
                        metrics::counter!("artel_order_dishes_expired_total").increment(1);
                    }
                }
                if last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes for handed over what has been ready for long.
    pub(crate) async fn clear(&self, call: &Call) -> Result<(), Error> {
        let ready = || Query::new().equal("status", OrderStatus::Ready.as_str_name());
        let wait = self.settings.get().board.clear_after();
        for workspace in self.repo.workspaces::<Order>(call, ready()).await? {
            let call = Call { workspace, ..call.clone() };
            let mut token = String::new();
            loop {
                let page = self.repo.query::<Order>(&call, ready().page(AT_ONCE, token)).await?;
                for order in page.items {
                    let until = order.ready_time.as_ref().and_then(to_chrono).map(|time| time + wait);
                    if until.is_none_or(|until| is_past(&from_chrono(until))) {
                        self.course.hand_over(&call, &order.id).await?;
                    }
                }
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Deletes what is too old to matter.
#[derive(Clone)]
pub(crate) struct Sweeper {
    repo: Repo,
    log: Log,
    settings: Live<Settings>,
}

impl Sweeper {
    pub(crate) fn new(repo: Repo, log: Log, settings: Live<Settings>) -> Self {
        Self { repo, log, settings }
    }

    /// Once over all workspaces.
    pub(crate) async fn sweep(&self, call: &Call) -> Result<(), Error> {
        for workspace in self.repo.workspaces::<BoardMove>(call, Query::new()).await? {
            self.moves(&Call { workspace, ..call.clone() }).await?;
        }
        let before = from_chrono(Utc::now() - TimeDelta::days(RELEASED_DAYS));
        let old = || Query::new().filter(Filter::compare("create_time", Operator::Less, [before.into()]));
        for workspace in self.repo.workspaces::<ReleasedClaim>(call, old()).await? {
            let call = Call { workspace, ..call.clone() };
            loop {
                let query = old().order("create_time", Direction::Ascending).page(AT_ONCE, "");
                let page = self.repo.query::<ReleasedClaim>(&call, query).await?;
                if page.items.is_empty() {
                    break;
                }
                let all = page
                    .items
                    .iter()
                    .fold(Commit::new(), |commit, row| commit.delete::<ReleasedClaim>(&row.id));
                gone(self.repo.commit(&call, all).await)?;
            }
        }
        Ok(())
    }

    /// The moves that no screen is brought up to date with any more. The last move of an order that still stands on the
    /// board stays: whoever starts later reads the board from the moves.
    async fn moves(&self, call: &Call) -> Result<(), Error> {
        let kept = i64::try_from(self.settings.get().board.remembered).unwrap_or(i64::MAX);
        let before = self.log.last(call).await? - kept;
        let mut behind = 0;
        loop {
            let query = Query::new()
                .filter(Filter::compare("position", Operator::Greater, [behind.into()]))
                .filter(Filter::compare("position", Operator::LessOrEqual, [before.into()]))
                .order("position", Direction::Ascending)
                .page(AT_ONCE, "");
            let page = self.repo.query::<BoardMove>(call, query).await?;
            let Some(last) = page.items.last() else { return Ok(()) };
            behind = last.position;
            let ids: Vec<String> = page.items.iter().map(|one| one.order_id.clone()).collect();
            let orders: Vec<Order> = self.repo.get_many(call, ids).await?;
            let stands = |one: &BoardMove| {
                orders
                    .iter()
                    .any(|order| order.id == one.order_id && order.status == one.status && is_shown(order))
            };
            let old = page.items.iter().filter(|one| !stands(one));
            let all = old.fold(Commit::new(), |commit, one| commit.delete::<BoardMove>(&one.id));
            if !all.is_empty() {
                gone(self.repo.commit(call, all).await)?;
            }
        }
    }
}

fn is_shown(order: &Order) -> bool {
    matches!(order.status(), OrderStatus::Preparing | OrderStatus::Ready)
}

/// Another copy sweeps, too: what it took is gone.
fn gone<T>(committed: Result<T, Error>) -> Result<(), Error> {
    match committed {
        Err(error) if !is_overtaken(&error) => Err(error),
        _ => Ok(()),
    }
}
