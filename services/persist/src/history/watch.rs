//! One that watches: reads by itself what lies between its position and the reader's, then hears from the reader. When
//! it falls behind by more than its channel holds it reads by itself again; when it takes nothing for too long it is
//! sent away, with nothing kept for it.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use artel_proto::Message as _;
use artel_proto::persist::{WatchRequest, WatchResponse};
use artel_util::Error;
use futures::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use uuid::Uuid;

use super::History;
use super::changes::{Asked, Row};
use super::place::{Place, gone};
use super::reader::{Batch, Reached, Topic, no_history};
use super::seal::LEAF;
use crate::caller::Caller;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::Entity;
use crate::snapshot::Snapshot;
use crate::sql::{self, Statement};
use crate::value::{self, Kind};

const START: &str = "SELECT pg_current_snapshot()::text, epoch, oldest FROM history";

/// A moment on the way, so that a long way is not sorted as a whole for each page of it: where a seal of the workspace
/// ends, so far ahead that about a page of rows lies between.
const MILESTONE: &str = "SELECT until FROM (
    SELECT until, row_number() OVER w AS number, sum(octet_length(leaves)) OVER w AS bytes
    FROM (
        SELECT until, oldest, leaves FROM seals
        WHERE workspace_id = $1 AND epoch = $2 AND oldest > $3 ORDER BY oldest LIMIT 256
    ) s WINDOW w AS (ORDER BY oldest ROWS UNBOUNDED PRECEDING)
) s WHERE number = 1 OR bytes <= $4 ORDER BY number DESC LIMIT 1";

/// Messages that wait for the caller, beside what HTTP/2 holds.
const WAITING: usize = 2;
/// A message is sent when it has grown to so many bytes.
const MOST_BYTES: usize = 1 << 20;

/// What a call of Watch gives.
pub(crate) type Watched = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

/// Why it ends.
enum End {
    /// Nobody is there any more.
    Left,
    Because(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Because(error)
    }
}

struct Watcher {
    history: Arc<History>,
    entity: Arc<Entity>,
    scope: Scope,
    topic: Topic,
    /// In order for the statement, and to look one up; all where there are none.
    ids: Vec<Uuid>,
    wanted: HashSet<Uuid>,
    place: Place,
    out: mpsc::Sender<Result<WatchResponse, Status>>,
    told: Instant,
    _seat: (OwnedSemaphorePermit, Seat),
}

impl History {
    /// The changes that the request asks for.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        caller: &Caller,
        request: WatchRequest,
    ) -> Result<Watched, Error> {
        let entity = Arc::clone(self.log.plans.entity(&request.entity, "entity")?);
        if !entity.scoped {
            let text = "is global: its changes are logged in the workspaces where they are made, and no one of them \
                        may see them all";
            return Err(Error::invalid("entity", text));
        }
        if request.from_beginning && !request.position.is_empty() {
            return Err(Error::invalid("fromBeginning", "does not go together with a position"));
        }
        let ids = request.ids.iter().enumerate().map(|(index, id)| {
            let id = value::uuid(id).and_then(|id| Uuid::from_slice(&id).ok());
            id.ok_or_else(|| Error::invalid(format!("ids[{index}]"), "must be a UUID with hyphens"))
        });
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let seat = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let text = "This copy of persist has as many watchers as it takes. Try again in a moment.";
            Error::new(Code::ResourceExhausted, "WATCHERS_EXHAUSTED", text)
                .with("limit", self.bounds.most)
                .retry_after(Duration::from_secs(1))
        })?;
        let scope = Scope::new(caller, None, self.log.time);
        let start = self.start(scope).await?;
        let place = match request.position.as_str() {
            "" if request.from_beginning => Place::at(start.now.epoch, Snapshot::before(start.oldest)),
            "" => Place::at(start.now.epoch, start.now.snapshot.clone()),
            token => Place::read(token)?,
        };
        start.admits(&place)?;
        let topic =
            Topic { workspace: scope.workspace, entity: entity.name.clone(), with_body: request.with_body };
        let (out, messages) = mpsc::channel(WAITING);
        let watcher = Watcher {
            history: Arc::clone(self),
            entity,
            scope,
            topic,
            wanted: ids.iter().copied().collect(),
            ids,
            place,
            out,
            told: Instant::now(),
            _seat: (seat, Seat::taken()),
        };
        // Said behind the messages that wait, however full their channel is.
        let (last, end) = oneshot::channel();
        tokio::spawn(async move {
            if let End::Because(error) = watcher.follow().await {
                let _ = last.send(Status::from(error));
            }
        });
        let end = end.into_stream().filter_map(|end| std::future::ready(end.ok().map(Err)));
        Ok(ReceiverStream::new(messages).chain(end).boxed())
    }

    async fn start(&self, scope: Scope) -> Result<Start, Error> {
        let rows = self
            .log
            .reads
            .database()
            .read(scope, vec![Statement::fixed(START).named(Name::of("history.start"))])
            .await?;
        let row = rows.iter().flatten().next().ok_or_else(no_history)?;
        let now = Reached::read(row).ok_or_else(no_history)?;
        let oldest = sql::number(row, 2).ok_or_else(no_history)?;
        Ok(Start { now, oldest })
    }
}

/// The log as it is when somebody comes.
struct Start {
    now: Reached,
    oldest: i64,
}

impl Start {
    /// OUT_OF_RANGE where one cannot go on from there.
    fn admits(&self, place: &Place) -> Result<(), Error> {
        if place.epoch != self.now.epoch || !self.now.snapshot.includes(&place.until) {
            return Err(gone(
                "POSITION_UNKNOWN",
                "is of another database, or of this one before it was restored",
            ));
        }
        if place.since.oldest() < self.oldest {
            return Err(gone("POSITION_SWEPT", "is older than the changes that are kept"));
        }
        Ok(())
    }
}

/// How long who catches up waits where PostgreSQL is away.
const AGAIN: Duration = Duration::from_millis(100);

impl Watcher {
    async fn follow(mut self) -> End {
        // At once, so that whoever asked for no position has one.
        let mut end = self.tell(Vec::new()).await;
        while end.is_ok() {
            end = match self.round().await {
                // As the reader does: while PostgreSQL is away, who watches waits.
                Err(End::Because(error)) if error.reason() == "DATABASE_AWAY" => {
                    self.unless_over(tokio::time::sleep(AGAIN)).await
                }
                end => end,
            };
        }
        match end {
            Err(End::Because(error)) if error.code() == Code::Internal => {
                tracing::error!(error = ?error, "a watcher ends");
                End::Because(error)
            }
            Err(end) => end,
            Ok(()) => End::Left,
        }
    }

    /// Catches up and listens until the channel is lost.
    async fn round(&mut self) -> Result<(), End> {
        let subscribed = self.history.reader.subscribe(&self.topic);
        let (mut channel, reached) = self.unless_over(subscribed).await??;
        if reached.epoch != self.place.epoch {
            return Err(gone("POSITION_UNKNOWN", "is of this database before it was restored").into());
        }
        self.catch_up(&reached.snapshot).await?;
        loop {
            let quiet = tokio::time::sleep_until(self.told + self.history.bounds.heartbeat());
            tokio::select! {
                () = self.history.closing.cancelled() => return Err(draining().into()),
                () = self.out.closed() => return Err(End::Left),
                received = channel.recv() => match received {
                    Ok(batch) => self.pass(&batch).await?,
                    Err(RecvError::Lagged(_)) => {
                        metrics::counter!("artel_persist_watchers_behind_total").increment(1);
                        return Ok(());
                    }
                    Err(RecvError::Closed) => return Ok(()),
                },
                () = quiet => if !self.beat(&mut channel).await? {
                    return Ok(());
                },
            }
        }
    }

    /// Reads by itself up to where the reader is, a page at a time.
    async fn catch_up(&mut self, reached: &Snapshot) -> Result<(), End> {
        loop {
            let history = Arc::clone(&self.history);
            let page = history.bounds.page;
            let asked = Asked { entity: &self.entity, ids: &self.ids, with_body: self.topic.with_body, page };
            let read = async {
                let _turn = history.catch_ups.acquire().await;
                history.log.read(self.scope, &self.place, asked).await
            };
            let rows = self.unless_over(read).await??;
            let is_last = rows.len() < page;
            let until = self.place.until.clone();
            self.send(&rows, &until).await?;
            if self.told.elapsed() > history.bounds.heartbeat() {
                self.tell(Vec::new()).await?;
            }
            if !is_last {
                continue;
            }
            if self.place.until.includes(reached) {
                return Ok(());
            }
            let next = self.milestone().await?.filter(|milestone| reached.includes(milestone));
            self.place.next_window(next.unwrap_or_else(|| reached.clone()));
        }
    }

    async fn milestone(&self) -> Result<Option<Snapshot>, Error> {
        let statement = Statement::fixed(MILESTONE)
            .named(Name::of("seals.milestone"))
            .bind(Kind::Uuid, Some(self.scope.workspace.as_bytes().to_vec()))
            .bind(Kind::Bigint, value::bigint(self.place.epoch))
            .bind(Kind::Bigint, value::bigint(self.place.until.next()))
            .bind(Kind::Bigint, value::bigint((self.history.bounds.page * LEAF) as i64));
        let rows = self.history.log.reads.database().read(self.scope, vec![statement]).await?;
        let row = rows.iter().flatten().next();
        Ok(row.and_then(|row| Snapshot::read(row, 0)))
    }

    async fn pass(&mut self, batch: &Batch) -> Result<(), End> {
        self.send(&batch.rows, &batch.until).await
    }

    /// Sends those rows of a window that are new and wanted, and moves on behind all of them.
    async fn send(&mut self, rows: &[Row], until: &Snapshot) -> Result<(), End> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        let mut window: Option<String> = None;
        for row in rows {
            if self.place.is_past(row.txid, row.position) {
                continue;
            }
            if self.place.until != *until {
                window = None;
            }
            self.place.pass(until, row.position);
            if !self.wanted.is_empty() && !self.wanted.contains(&row.id) {
                continue;
            }
            let window = window.get_or_insert_with(|| self.place.window());
            let mut change = row.change.clone();
            change.position = format!("{window}.{}", row.position);
            bytes += change.encoded_len();
            changes.push(change);
            if bytes >= MOST_BYTES {
                bytes = 0;
                self.tell(std::mem::take(&mut changes)).await?;
            }
        }
        if changes.is_empty() { Ok(()) } else { self.tell(changes).await }
    }

    /// Tells how far it is where nothing was told for a while. False where the channel is lost.
    async fn beat(&mut self, channel: &mut broadcast::Receiver<Arc<Batch>>) -> Result<bool, End> {
        // Looked at first: what was handed out up to there lies in the channel by now.
        let reached = self.history.reader.reached();
        loop {
            match channel.try_recv() {
                Ok(batch) => self.pass(&batch).await?,
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => return Ok(false),
            }
        }
        if let Some(reached) = reached.filter(|reached| reached.snapshot.includes(&self.place.until)) {
            self.place = Place::at(self.place.epoch, reached.snapshot);
        }
        self.tell(Vec::new()).await?;
        Ok(true)
    }

    async fn tell(&mut self, changes: Vec<artel_proto::persist::Change>) -> Result<(), End> {
        let response = WatchResponse { changes, position: self.place.token() };
        let room = tokio::time::timeout(self.history.bounds.stall(), self.out.reserve());
        let room = self.unless_over(room).await?;
        match room {
            Ok(Ok(room)) => room.send(Ok(response)),
            Ok(Err(_)) => return Err(End::Left),
            Err(_) => {
                metrics::counter!("artel_persist_watchers_cut_total").increment(1);
                let text = "The caller takes the changes more slowly than they come. Watch again from the position of \
                            the last one that came.";
                return Err(Error::new(Code::ResourceExhausted, "WATCH_TOO_SLOW", text).into());
            }
        }
        self.told = Instant::now();
        Ok(())
    }

    /// Waits for it while somebody is there to wait for.
    async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Result<T, End> {
        tokio::select! {
            () = self.history.closing.cancelled() => Err(draining().into()),
            () = self.out.closed() => Err(End::Left),
            done = work => Ok(done),
        }
    }
}

fn draining() -> Error {
    let text =
        "This copy of persist is about to end. Watch again from the last position: another copy goes on.";
    Error::unavailable("DRAINING", text).retry_after(Duration::from_millis(50))
}

/// Counts those who watch.
struct Seat;

impl Seat {
    fn taken() -> Self {
        metrics::gauge!("artel_persist_watchers").increment(1.0);
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        metrics::gauge!("artel_persist_watchers").decrement(1.0);
    }
}
