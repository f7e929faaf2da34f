//! The board in the hall: whose order is being cooked and whose is ready, and every change of it.
//!
//! ```text
//! log      writes a move in the commit that makes it, under the next number
//! ring     the board and its last moves, pure
//! hub      keeps the ring of this process true, for all screens
//! screen   one that watches: where it is, and what comes next
//! sse      the page that browsers read
//! ```
//!
//! A position is the number of a move. Moves are numbered one by one as they are committed, so all copies of `order` tell
//! them under the same positions and in the same order, and a screen that goes on after one misses none and sees none
//! twice, whichever copy it comes back to. (The change log's own positions would not do: they depend on who reads.)

mod hub;
mod log;
mod ring;
mod screen;
mod sse;

pub(crate) use hub::Hub;
pub(crate) use log::Log;
#[cfg(test)]
pub(crate) use screen::Seat;
pub(crate) use sse::router;

use crate::error::Refusal;

/// A position as screens keep it: empty where there is none.
pub(crate) fn position(text: &str) -> Result<Option<i64>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let position = text.parse().ok().filter(|position| *position >= 0);
    position.map(Some).ok_or(Refusal::NoPosition)
}
