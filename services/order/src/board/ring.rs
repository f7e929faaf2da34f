//! The board and the last moves on it, pure. What screens are told is rendered once for all of them.

use std::collections::VecDeque;
use std::sync::Arc;

use artel_proto::order::{Board, BoardChange, BoardMove, OrderStatus};
use bytes::Bytes;
use serde_json::json;

/// The board as it is after the move `head`, and the moves before it that are still remembered.
pub(super) struct Ring {
    most: usize,
    head: i64,
    /// One after another without a gap; the last is `head`.
    moves: VecDeque<Arc<Told>>,
    /// Who stands on the board, in the order in which they got where they are.
    standing: Vec<Standing>,
    /// The whole board as an event, until it changes.
    whole: Option<Bytes>,
}

/// A move as screens are told it.
pub(super) struct Told {
    pub(super) position: i64,
    pub(super) change: BoardChange,
    /// The same as a server-sent event.
    pub(super) event: Bytes,
}

/// What comes after a position.
pub(super) enum After {
    /// Nothing yet.
    Nothing,
    /// These, in order.
    Moves(Vec<Arc<Told>>),
    /// What came after it is not remembered any more.
    Forgotten,
}

struct Standing {
    order_id: String,
    number: i32,
    is_ready: bool,
}

impl Ring {
    pub(super) fn new(most: usize) -> Self {
        Self { most, head: 0, moves: VecDeque::new(), standing: Vec::new(), whole: None }
    }

    pub(super) fn head(&self) -> i64 {
        self.head
    }

    /// Takes the next move; one that it has already changes nothing.
    pub(super) fn pass(&mut self, step: &BoardMove) {
        if step.position <= self.head {
            return;
        }
        if step.position != self.head + 1 {
            // Of those between, only who still stands on the board is known.
            self.moves.clear();
        }
        self.head = step.position;
        self.standing.retain(|standing| standing.order_id != step.order_id);
        let is_ready = match step.status() {
            OrderStatus::Preparing => Some(false),
            OrderStatus::Ready => Some(true),
            _ => None,
        };
        if let Some(is_ready) = is_ready {
            let order_id = step.order_id.clone();
            self.standing.push(Standing { order_id, number: step.number, is_ready });
        }
        self.whole = None;
        self.moves.push_back(Arc::new(Told::of(step)));
        self.remember(self.most);
    }

    /// Remembers so many moves from now on.
    pub(super) fn remember(&mut self, most: usize) {
        self.most = most;
        while self.moves.len() > most {
            self.moves.pop_front();
        }
    }

    /// What comes after the position, so many at most.
    pub(super) fn after(&self, position: i64, most: usize) -> After {
        let first = self.head - i64::try_from(self.moves.len()).unwrap_or_default();
        if !(first..=self.head).contains(&position) {
            return After::Forgotten;
        }
        let skipped = usize::try_from(position - first).unwrap_or_default();
        let moves: Vec<_> = self.moves.iter().skip(skipped).take(most).cloned().collect();
        if moves.is_empty() { After::Nothing } else { After::Moves(moves) }
    }

    /// The whole board.
    pub(super) fn board(&self) -> Board {
        let numbers = |is_ready| {
            let there = self.standing.iter().filter(move |standing| standing.is_ready == is_ready);
            there.map(|standing| standing.number).collect()
        };
        Board { preparing: numbers(false), ready: numbers(true), position: self.head.to_string() }
    }

    /// The same as a server-sent event.
    pub(super) fn whole(&mut self) -> Bytes {
        let board = self.board();
        let event = || {
            let data =
                json!({"preparing": board.preparing, "ready": board.ready, "position": board.position});
            event(self.head, "board", &data)
        };
        self.whole.get_or_insert_with(event).clone()
    }
}

impl Told {
    fn of(step: &BoardMove) -> Self {
        let change = BoardChange { number: step.number, status: step.status };
        let data = json!({"number": change.number, "status": change.status().as_str_name()});
        Self { position: step.position, event: event(step.position, "change", &data), change }
    }
}

/// JSON holds no line break that is not escaped, so an event is these three lines.
fn event(position: i64, name: &str, data: &serde_json::Value) -> Bytes {
    Bytes::from(format!("id: {position}\nevent: {name}\ndata: {data}\n\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn step(position: i64, order: i32, status: OrderStatus) -> BoardMove {
        BoardMove {
            position,
            order_id: order.to_string(),
            number: order,
            status: status.into(),
            ..BoardMove::default()
        }
    }

    #[test]
    fn the_board_shows_who_waits_and_who_is_called() {
        use OrderStatus::{HandedOver, Preparing, Ready, Refunded};
        let mut ring = Ring::new(10);
        let moves = [
            (1, Preparing),
            (2, Preparing),
            (3, Ready),
            (2, Ready),
            (1, Refunded),
            (3, HandedOver),
            (4, Preparing),
        ];
        for (at, (order, status)) in moves.into_iter().enumerate() {
            ring.pass(&step(at as i64 + 1, order, status));
        }
        let board = ring.board();
        assert_eq!((board.preparing, board.ready, board.position.as_str()), (vec![4], vec![2], "7"));
        let whole = String::from_utf8(ring.whole().to_vec()).unwrap();
        assert_eq!(
            whole,
            "id: 7\nevent: board\ndata: {\"position\":\"7\",\"preparing\":[4],\"ready\":[2]}\n\n"
        );
        let After::Moves(told) = ring.after(6, 10) else { panic!("nothing after 6") };
        assert_eq!(
            String::from_utf8(told[0].event.to_vec()).unwrap(),
            "id: 7\nevent: change\ndata: {\"number\":4,\"status\":\"ORDER_STATUS_PREPARING\"}\n\n"
        );
    }

    #[test]
    fn what_is_forgotten_or_still_to_come_is_not_gone_on_from() {
        let mut ring = Ring::new(3);
        (1..=5).for_each(|at| ring.pass(&step(at, 1, OrderStatus::Ready)));
        for (position, expected) in [(1, None), (2, Some(3)), (4, Some(1)), (5, Some(0)), (6, None)] {
            let seen = match ring.after(position, 10) {
                After::Forgotten => None,
                After::Nothing => Some(0),
                After::Moves(moves) => Some(moves.len()),
            };
            assert_eq!(seen, expected, "after {position}");
        }
        // A gap is none to be gone over.
        ring.pass(&step(9, 1, OrderStatus::Ready));
        assert!(matches!(ring.after(5, 10), After::Forgotten));
        assert!(matches!(ring.after(8, 10), After::Moves(moves) if moves.len() == 1));
    }

    proptest! {
        /// Wherever a screen leaves off, the board it had and the moves after are the board there is.
        #[test]
        fn a_board_and_what_comes_after_are_the_board(
            said in prop::collection::vec((0_i32..6, 5_i32..=8), 1..60),
            left in 0_usize..60,
            most in 1_usize..80,
        ) {
            let mut ring = Ring::new(most);
            let mut seen: Option<Board> = None;
            for (at, (order, status)) in said.iter().enumerate() {
                if at == left {
                    seen = Some(ring.board());
                }
                ring.pass(&step(at as i64 + 1, *order, OrderStatus::try_from(*status).unwrap()));
                // Again changes nothing.
                ring.pass(&step(at as i64 + 1, *order, OrderStatus::HandedOver));
            }
            let Some(mut board) = seen else { return Ok(()) };
            let mut position: i64 = board.position.parse().unwrap();
            loop {
                match ring.after(position, 7) {
                    After::Forgotten => {
                        prop_assert!(said.len() - left > most);
                        return Ok(());
                    }
                    After::Nothing => break,
                    After::Moves(moves) => for told in moves {
                        prop_assert_eq!(told.position, position + 1);
                        position = told.position;
                        board.preparing.retain(|number| *number != told.change.number);
                        board.ready.retain(|number| *number != told.change.number);
                        match told.change.status() {
                            OrderStatus::Preparing => board.preparing.push(told.change.number),
                            OrderStatus::Ready => board.ready.push(told.change.number),
                            _ => {}
                        }
                    },
                }
            }
            board.position = position.to_string();
            prop_assert_eq!(board, ring.board());
        }
    }
}
