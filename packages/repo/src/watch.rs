use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use artel_client::{Call, Channel};
use artel_proto::Entity;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{Change as Logged, Operation, WatchRequest, WatchResponse};
use artel_util::Error;
use tonic::{Code, Status, Streaming};

/// The pauses before a lost watch goes on: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What to watch: all changes from now on, unless it says otherwise.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Watch {
    request: WatchRequest,
}

/// A change of a row.
#[derive(Debug, Clone)]
pub struct Change<T> {
    /// The row's key.
    pub id: String,
    /// What was done.
    pub operation: Operation,
    /// The row's version after it.
    pub version: i64,
    /// The fields that it changed; empty for a new row and for a deleted one.
    pub fields: Vec<String>,
    /// Who did it: the user's id, empty where there is none.
    pub actor_user: String,
    /// Where to go on from after it.
    pub position: String,
    /// The row as it was when the change was read, where that was asked for and it is still there.
    pub row: Option<T>,
}

/// The changes of an entity, one after another. Ends with an error only where one cannot go on: the position is too old
/// (`OutOfRange`), or the request is wrong.
pub struct Changes<T> {
    persist: PersistServiceClient<Channel>,
    call: Call,
    request: WatchRequest,
    stream: Option<Streaming<WatchResponse>>,
    waiting: VecDeque<Logged>,
    /// The position behind those that wait.
    behind: String,
    pause: Duration,
    entity: PhantomData<fn() -> T>,
}

impl Watch {
    /// All changes from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything after this position, which a change or [`Changes::position`] gave.
    pub fn from(mut self, position: impl Into<String>) -> Self {
        self.request.position = position.into();
        self
    }

    /// Everything that is kept.
    pub fn from_beginning(mut self) -> Self {
        self.request.from_beginning = true;
        self
    }

    /// Only changes of these rows.
    pub fn ids(mut self, ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.request.ids.extend(ids.into_iter().map(Into::into));
        self
    }

    /// With each change its row.
    pub fn with_rows(mut self) -> Self {
        self.request.with_body = true;
        self
    }
}

impl<T: Entity> Changes<T> {
    pub(crate) fn new(persist: PersistServiceClient<Channel>, mut call: Call, watch: Watch) -> Self {
        // It goes on for as long as somebody wants it.
        call.deadline = None;
        let request = WatchRequest { entity: T::NAME.to_owned(), ..watch.request };
        let behind = request.position.clone();
        let (stream, waiting, pause) = (None, VecDeque::new(), PAUSE.0);
        Self { persist, call, request, stream, waiting, behind, pause, entity: PhantomData }
    }

    /// Waits until it is watched. From then on no change is missed: what is read now, and the changes after, are all
    /// there is.
    ///
    /// # Errors
    /// As [`Changes::next`].
    pub async fn begin(&mut self) -> Result<(), Error> {
        while self.behind.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }

    /// The next change, however long it takes.
    ///
    /// # Errors
    /// Where one cannot go on. After `OutOfRange`, watch anew and read anew what was kept.
    pub async fn next(&mut self) -> Result<Change<T>, Error> {
        loop {
            if let Some(logged) = self.waiting.pop_front() {
                self.request.position.clone_from(&logged.position);
                return Change::read(logged);
            }
            self.request.position.clone_from(&self.behind);
            self.receive().await?;
        }
    }

    /// Behind the last change that was given.
    #[must_use]
    pub fn position(&self) -> &str {
        &self.request.position
    }

    /// Takes a message, after what it takes to get one. What was given before it is not given again.
    async fn receive(&mut self) -> Result<(), Error> {
        loop {
            let Some(stream) = &mut self.stream else {
                let answer = self.persist.watch(self.call.request(self.request.clone())).await;
                match answer {
                    Ok(answer) => self.stream = Some(answer.into_inner()),
                    Err(status) => self.lost(status).await?,
                }
                continue;
            };
            match stream.message().await {
                Ok(Some(message)) => {
                    self.pause = PAUSE.0;
                    // Where it begins is said by now, and the beginning is not asked for again.
                    self.request.from_beginning = false;
                    self.behind = message.position;
                    if self.request.position.is_empty() && message.changes.is_empty() {
                        self.request.position.clone_from(&self.behind);
                    }
                    self.waiting = message.changes.into();
                    return Ok(());
                }
                Ok(None) => self.lost(Status::unavailable("the stream ended")).await?,
                Err(status) => self.lost(status).await?,
            }
        }
    }

    /// Waits before the next attempt, where one makes sense.
    async fn lost(&mut self, status: Status) -> Result<(), Error> {
        self.stream = None;
        let again = match status.code() {
            Code::Unavailable | Code::ResourceExhausted | Code::Aborted | Code::Cancelled => true,
            // What a broken connection looks like, too.
            Code::Unknown | Code::Internal | Code::DeadlineExceeded => true,
            _ => false,
        };
        if !again {
            return Err(status.into());
        }
        tracing::debug!(entity = T::NAME, code = ?status.code(), "a watch is lost and goes on");
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.5..1.0))).await;
        self.pause = (self.pause * 2).min(PAUSE.1);
        Ok(())
    }
}

impl<T: Entity> Change<T> {
    fn read(logged: Logged) -> Result<Self, Error> {
        Ok(Self {
            operation: logged.operation(),
            row: logged.body.map(T::decode).transpose().map_err(Error::internal)?,
            id: logged.id,
            version: logged.version,
            fields: logged.fields,
            actor_user: logged.actor_user,
            position: logged.position,
        })
    }
}
