//! Orders of dishes: placed with a number of the board, taken by a payment, cooked, called and handed over.
//!
//! ```text
//! lines    what lines come to, pure
//! course   the way of an order, pure: it only goes forward
//! numbers  which number of the board is free
//! place    placing
//! pay      a payment takes an order, lets it go, pays for it
//! moves    the kitchen's news and the hall's, each with its move on the board
//! jobs     what was forgotten: unpaid orders, uncollected ones, old moves
//! ```

mod api;
mod course;
mod jobs;
mod lines;
mod listen;
mod moves;
mod numbers;
mod pay;
mod place;

pub(crate) use api::Tables;
pub(crate) use course::{is_dishes, may_cancel};
pub(crate) use jobs::{Sweeper, Waiter};
pub(crate) use listen::News;
pub(crate) use moves::Course;
pub(crate) use place::Kitchen;
