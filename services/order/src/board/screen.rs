use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use artel_proto::order::WatchBoardResponse;
use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::Status;

use super::hub::Hub;
use super::ring::{After, Told};

/// Moves taken from the ring at once.
const AT_ONCE: usize = 100;
/// What keeps a connection alive and means nothing.
const HEARTBEAT: Bytes = Bytes::from_static(b":\n\n");

/// One that watches the board: a place among its moves. It holds nothing of what it is still to be told: one that reads
/// slowly costs no more than one that waits, and when what it missed is forgotten it gets the whole board anew.
pub(crate) struct Screen {
    hub: Arc<Hub>,
    head: watch::Receiver<Option<i64>>,
    /// The last move it was told; `None` before the board.
    at: Option<i64>,
}

/// A place among the screens of browsers that one process serves.
pub(crate) struct Seat(Arc<AtomicUsize>);

/// What a screen is told next.
enum Next {
    Whole,
    Moves(Vec<Arc<Told>>),
    /// Nothing, for as long as it may be silent.
    Silence,
    /// Nothing any more: the process ends, and another one goes on.
    End,
}

impl Screen {
    pub(super) fn new(hub: Arc<Hub>, head: watch::Receiver<Option<i64>>, at: Option<i64>) -> Self {
        Self { hub, head, at }
    }

    /// As messages of gRPC.
    pub(crate) fn messages(self) -> impl Stream<Item = Result<WatchBoardResponse, Status>> + Send {
        stream::unfold((self, VecDeque::new()), |(mut screen, mut waiting)| async move {
            loop {
                if let Some(message) = waiting.pop_front() {
                    return Some((Ok(message), (screen, waiting)));
                }
                match screen.next(Duration::MAX).await {
                    Next::Whole => waiting.push_back(screen.whole_message()),
                    Next::Moves(moves) => waiting.extend(moves.iter().map(|told| message(told))),
                    Next::Silence => {}
                    Next::End => return None,
                }
            }
        })
    }

    /// As server-sent events. Those of a move are the same bytes for all screens.
    pub(crate) fn events(
        self,
        seat: Seat,
    ) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        stream::unfold(Some((self, seat)), |state| async move {
            let (mut screen, seat) = state?;
            let heartbeat = screen.hub.rules().heartbeat();
            let bytes = match screen.next(heartbeat).await {
                Next::Whole => screen.whole_event(),
                Next::Moves(moves) => joined(&moves),
                Next::Silence => HEARTBEAT,
                // Not all at once to whoever is left.
                Next::End => {
                    let retry = rand::random_range(100..2_000);
                    return Some((Ok(format!("retry: {retry}\n\n").into()), None));
                }
            };
            Some((Ok(bytes), Some((screen, seat))))
        })
    }

    async fn next(&mut self, silence: Duration) -> Next {
        let draining = self.hub.draining().clone();
        loop {
            if draining.is_cancelled() {
                return Next::End;
            }
            // What comes after this look wakes it.
            self.head.borrow_and_update();
            match self.at.map(|at| self.hub.after(at, AT_ONCE)) {
                Some(After::Moves(moves)) => {
                    self.at = moves.last().map(|told| told.position).or(self.at);
                    return Next::Moves(moves);
                }
                Some(After::Nothing) => {}
                Some(After::Forgotten) => {
                    metrics::counter!("artel_order_board_forgotten_total").increment(1);
                    return Next::Whole;
                }
                None => return Next::Whole,
            }
            tokio::select! {
                () = draining.cancelled() => return Next::End,
                changed = self.head.changed() => if changed.is_err() { return Next::End },
                () = tokio::time::sleep(silence) => return Next::Silence,
            }
        }
    }

    fn whole_event(&mut self) -> Bytes {
        let (position, _, event) = self.hub.whole();
        self.at = Some(position);
        event
    }

    fn whole_message(&mut self) -> WatchBoardResponse {
        let (position, board, _) = self.hub.whole();
        self.at = Some(position);
        WatchBoardResponse { position: board.position.clone(), board: Some(board), change: None }
    }
}

impl Seat {
    /// One more of so many at most.
    pub(super) fn taken(taken: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        let more = |now: usize| (now < most).then_some(now + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        metrics::gauge!("artel_order_screens").increment(1.0);
        Some(Self(Arc::clone(taken)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("artel_order_screens").decrement(1.0);
    }
}

fn message(told: &Told) -> WatchBoardResponse {
    WatchBoardResponse { board: None, change: Some(told.change), position: told.position.to_string() }
}

fn joined(moves: &[Arc<Told>]) -> Bytes {
    if let [one] = moves {
        return one.event.clone();
    }
    let mut all = BytesMut::new();
    moves.iter().for_each(|told| all.extend_from_slice(&told.event));
    all.freeze()
}
