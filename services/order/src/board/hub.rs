use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::{CancellationToken, Live};
use artel_proto::order::{Board, BoardMove};
use artel_proto::persist::{Operation, Operator};
use artel_repo::{Direction, Filter, Query, Repo, Watch};
use artel_util::Error;
use bytes::Bytes;
use tokio::sync::watch;

use super::log::Log;
use super::ring::{After, Ring};
use super::screen::{Screen, Seat};
use crate::settings::{Board as Rules, Settings};

/// Moves read at once.
const PAGE: i32 = 1_000;
/// The pauses after a failure: from, up to.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long whoever comes waits for a hub that has just started.
const START: Duration = Duration::from_secs(5);
/// How long a screen that comes from a copy which is ahead of this one waits for it.
const BEHIND: Duration = Duration::from_secs(2);

/// The board of one workspace in this process. It follows the moves that are committed, whoever commits them, and tells
/// its screens. However many those are, it holds one board and one memory of moves; a screen is a place in it.
pub(crate) struct Hub {
    repo: Repo,
    log: Log,
    call: Call,
    settings: Live<Settings>,
    draining: CancellationToken,
    ring: RwLock<Ring>,
    /// The last move in the ring; `None` until there is one to show.
    head: watch::Sender<Option<i64>>,
    screens: Arc<AtomicUsize>,
}

impl Hub {
    /// The board of the call's workspace.
    pub(crate) fn new(
        repo: Repo,
        log: Log,
        call: Call,
        settings: Live<Settings>,
        draining: CancellationToken,
    ) -> Self {
        let ring = RwLock::new(Ring::new(settings.get().board.remembered));
        let (head, screens) = (watch::Sender::new(None), Arc::default());
        Self { repo, log, call, settings, draining, ring, head, screens }
    }

    /// Follows the moves until the service drains.
    pub(crate) async fn run(self: Arc<Self>, draining: CancellationToken) {
        let follow = async {
            let mut pause = PAUSE.0;
            loop {
                let begin = Instant::now();
                if let Err(error) = self.follow().await {
                    tracing::warn!(%error, "the board stands still and goes on in a moment");
                }
                // It went well for a while.
                if begin.elapsed() > PAUSE.1 {
                    pause = PAUSE.0;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
        };
        tokio::select! {
            () = draining.cancelled() => {}
            () = follow => {}
        }
    }

    /// The board as it is.
    pub(crate) async fn board(&self) -> Result<Board, Error> {
        self.started().await?;
        Ok(self.ring().board())
    }

    /// A screen that goes on after this position, or begins with the board as it is.
    pub(crate) async fn screen(self: &Arc<Self>, position: Option<i64>) -> Result<Screen, Error> {
        self.started().await?;
        if let Some(position) = position {
            let mut head = self.head.subscribe();
            let there = head.wait_for(|head| head.is_some_and(|head| head >= position));
            // Beyond what comes in time it is of another database: then it is forgotten, too.
            let _ = tokio::time::timeout(BEHIND, there).await;
        }
        Ok(Screen::new(Arc::clone(self), self.head.subscribe(), position))
    }

    /// A place for one more screen of browsers, where there is one.
    pub(crate) fn seat(&self) -> Option<Seat> {
        Seat::taken(&self.screens, self.rules().max_screens)
    }

    pub(super) fn rules(&self) -> Rules {
        self.settings.get().board.clone()
    }

    pub(super) fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// What comes after the position, so many at most.
    pub(super) fn after(&self, position: i64, most: usize) -> After {
        self.ring().after(position, most)
    }

    /// The whole board, and as an event; with its position.
    pub(super) fn whole(&self) -> (i64, Board, Bytes) {
        let mut ring = self.ring_mut();
        (ring.head(), ring.board(), ring.whole())
    }

    async fn started(&self) -> Result<(), Error> {
        let mut head = self.head.subscribe();
        let there = tokio::time::timeout(START, head.wait_for(Option::is_some)).await;
        there.ok().and_then(Result::ok).map(drop).ok_or_else(|| {
            Error::unavailable("BOARD_NOT_READY", "The board is being read. Try again in a moment.")
                .retry_after(Duration::from_secs(1))
        })
    }

    async fn follow(&self) -> Result<(), Error> {
        let mut changes = self.repo.watch::<BoardMove>(&self.call, Watch::new().with_rows());
        changes.begin().await?;
        if self.log.last(&self.call).await? < self.ring().head() {
            tracing::warn!("the moves of the board begin anew: the database was restored");
            *self.ring_mut() = Ring::new(self.rules().remembered);
        }
        self.catch_up().await?;
        loop {
            let change = changes.next().await?;
            let head = self.ring().head();
            match change.row {
                // Swept.
                None if change.operation == Operation::Delete => {}
                Some(step) if step.position <= head => {}
                Some(step) if step.position == head + 1 => {
                    self.pass(&[step]);
                    self.tell();
                }
                // Of moves that were committed at once the log may tell a later one first.
                _ => self.catch_up().await?,
            }
        }
    }

    /// Reads what comes after the last move that it has; nobody is told of a part of it.
    async fn catch_up(&self) -> Result<(), Error> {
        loop {
            let query = Query::new()
                .filter(Filter::compare("position", Operator::Greater, [self.ring().head().into()]))
                .order("position", Direction::Ascending)
                .page(PAGE, "");
            let page = self.repo.query::<BoardMove>(&self.call, query).await?;
            self.pass(&page.items);
            if page.next_page_token.is_empty() {
                self.tell();
                return Ok(());
            }
        }
    }

    fn pass(&self, moves: &[BoardMove]) {
        let remembered = self.rules().remembered;
        let mut ring = self.ring_mut();
        moves.iter().for_each(|step| ring.pass(step));
        ring.remember(remembered);
    }

    /// Wakes the screens.
    fn tell(&self) {
        let head = self.ring().head();
        self.head.send_replace(Some(head));
    }

    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}
