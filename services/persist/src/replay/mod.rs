//! Replay: past events go to the queue of one service once more, under their own ids, so that what the service did about
//! them stays done once, or under new ones where the operator says so.
//!
//! A replay has an id and a row of its own, which holds how far it is. It may be broken off at any moment and gone on
//! with: what was sent without being noted is sent again under the same ids.

mod record;

use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_proto::persist::{CancelReplayRequest, CancelReplayResponse, ReplayRequest, ReplayResponse};
use artel_queue::{Event, Outcome, Unfinished};
use artel_util::Error;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use futures::future::BoxFuture;
use futures::{FutureExt as _, SinkExt as _, channel::mpsc};
use tonic::{Code, Status};
use uuid::Uuid;

use self::record::{Ask, Record};
use crate::caller::Caller;
use crate::database::Database;
use crate::plan::Plans;
use crate::relay::Broker;

/// The name that operators' calls go by.
const OPERATOR: &str = "operator";
/// Events sent together: few, so that the one channel of all replays is nobody's for long.
const BATCH: usize = 200;
/// How often another's replay is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What a caller of Replay hears.
pub(crate) type Progress = mpsc::Receiver<Result<ReplayResponse, Status>>;

/// The way to the queue of a service.
pub(crate) type Resend =
    Arc<dyn Fn(String, Vec<Event>) -> BoxFuture<'static, Result<Vec<Outcome>, Unfinished>> + Send + Sync>;

/// The way that a broker has.
pub(crate) fn resend<B: Broker>(broker: Arc<B>) -> Resend {
    Arc::new(move |service, events| {
        let broker = Arc::clone(&broker);
        async move { broker.resend(&service, &events).await }.boxed()
    })
}

/// The call, where an operator makes it. Its name is signed with the mesh's key.
fn operator(call: &Call) -> Result<Caller, Error> {
    if call.service != OPERATOR {
        let text = "Only an operator may do this: use the command `artel replay`.";
        return Err(Error::new(Code::PermissionDenied, "OPERATOR_ONLY", text));
    }
    Caller::try_from(call)
}

/// Begins a replay, or goes on with it, beside the stream that says how far it is.
pub(crate) async fn replay(
    system: &Database,
    plans: &Plans,
    resend: Option<&Resend>,
    call: &Call,
    request: ReplayRequest,
) -> Result<Progress, Error> {
    let caller = operator(call)?;
    let ask = Ask::read(plans, &request)?;
    let (mut tell, told) = mpsc::channel(4);
    if request.dry_run {
        let found_count = ask.count(system).await?;
        let _ = tell.send(Ok(ReplayResponse { found_count, done: true, ..ReplayResponse::default() })).await;
        return Ok(told);
    }
    let Some(resend) = resend.cloned() else {
        return Err(Error::unavailable("NO_BROKER", "This copy of persist has no way to the broker."));
    };
    // Not the pool's any more: the lock ends with it.
    let connection: AsyncPgConnection = Object::take(system.connection().await?);
    let record = Record::begin(&connection, &ask, &caller).await?;
    let work = Work { connection, resend, ask, caller };
    tokio::spawn(async move {
        if let Err(error) = work.run(record, &mut tell).await {
            let _ = tell.send(Err(error.into())).await;
        }
    });
    Ok(told)
}

/// Ends a replay for good.
pub(crate) async fn cancel(
    system: &Database,
    call: &Call,
    request: &CancelReplayRequest,
) -> Result<CancelReplayResponse, Error> {
    let caller = operator(call)?;
    let connection = system.connection().await?;
    let record = Record::cancel(&connection, &request.replay_id, &caller).await?;
    let Record { found: found_count, sent: sent_count, .. } = record;
    Ok(CancelReplayResponse { found_count, sent_count, cancelled: record.is_cancelled() })
}

struct Work {
    connection: AsyncPgConnection,
    resend: Resend,
    ask: Ask,
    caller: Caller,
}

impl Work {
    async fn run(
        self,
        mut record: Record,
        tell: &mut mpsc::Sender<Result<ReplayResponse, Status>>,
    ) -> Result<(), Error> {
        // Whoever came first is at it; whoever comes next watches, and goes on where that one was broken off.
        let mut mine = false;
        loop {
            if tell.send(Ok(record.progress())).await.is_err() {
                tracing::info!(replay = %self.ask.id, sent = record.sent, "the replay is broken off");
                return Ok(());
            }
            if !record.is_running() {
                return Ok(());
            }
            if !mine {
                mine = record::lock(&self.connection, &self.ask.id).await?;
                if !mine {
                    tokio::time::sleep(LOOK).await;
                }
                record = Record::read(&self.connection, &self.ask).await?;
                continue;
            }
            let page = self.ask.page(&self.connection, &record, BATCH).await?;
            if page.is_empty() {
                record = Record::done(&self.connection, &self.ask, &self.caller).await?;
                continue;
            }
            record = self.send(page).await?;
        }
    }

    /// Sends a page, and notes what the queue has taken of it.
    async fn send(&self, page: Vec<(i64, Event)>) -> Result<Record, Error> {
        let (positions, events): (Vec<i64>, Vec<Event>) =
            page.into_iter().map(|(position, event)| (position, self.marked(event))).unzip();
        let (outcomes, cause) = match (self.resend)(self.ask.service.clone(), events).await {
            Ok(outcomes) => (outcomes, None),
            Err(unfinished) => {
                let known = unfinished.outcomes.iter().map_while(|outcome| *outcome).collect();
                (known, Some(unfinished.cause))
            }
        };
        let taken = outcomes.iter().take_while(|outcome| **outcome == Outcome::Confirmed).count();
        let last = taken.checked_sub(1).and_then(|last| positions.get(last));
        let record = match last {
            Some(last) => Record::advance(&self.connection, &self.ask, *last, taken).await?,
            None => Record::read(&self.connection, &self.ask).await?,
        };
        if let Some(cause) = cause {
            let text = "The broker does not take the events. Start the replay again with its id: it goes on.";
            return Err(Error::unavailable("REPLAY_INTERRUPTED", text).caused_by(cause));
        }
        if taken < positions.len() {
            let text = format!(
                "The service `{}` has no queue: it has never listened to anything. Check its name, or start it first.",
                self.ask.service
            );
            return Err(Error::precondition("NO_QUEUE", text).field("service", "has no queue"));
        }
        Ok(record)
    }

    /// The event as it is sent once more.
    fn marked(&self, mut event: Event) -> Event {
        if self.ask.force {
            event.id = forced(&self.ask.id, &event.id);
        }
        event.replay = self.ask.id.to_string();
        event
    }
}

/// The id of an event that is to be handled once more: always the same one in the same replay.
fn forced(replay: &Uuid, event: &str) -> String {
    Uuid::new_v5(replay, event.as_bytes()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forced_id_is_of_this_event_and_this_replay() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ids = [forced(&one, "a"), forced(&one, "b"), forced(&other, "a")];
        assert_eq!(forced(&one, "a"), ids[0]);
        assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2]);
        assert!(ids.iter().all(|id| Uuid::try_parse(id).is_ok()));
    }
}
