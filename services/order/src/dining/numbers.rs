//! The numbers of the board: 1 to 999, one of them for each order that is open.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};

use artel_client::Call;
use artel_proto::order::BoardNumber;
use artel_repo::{Query, Repo};
use artel_util::Error;

use crate::error::Refusal;

/// The greatest.
const GREATEST: i32 = 999;

/// Gives numbers out in turn, so that one that was just called is not given again soon. Each process begins somewhere
/// else, so that two seldom want the same; the row's unique index decides.
pub(crate) struct Numbers {
    next: AtomicU32,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self { next: AtomicU32::new(rand::random()) }
    }

    /// The next in turn, which may be taken.
    pub(super) fn turn(&self) -> i32 {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % GREATEST.unsigned_abs();
        i32::try_from(turn).unwrap_or_default() + 1
    }

    /// The next in turn that is free by now. `BOARD_FULL` where none is.
    pub(super) async fn free(&self, repo: &Repo, call: &Call) -> Result<i32, Error> {
        let mut taken = HashSet::new();
        let mut token = String::new();
        loop {
            let page = repo.query::<BoardNumber>(call, Query::new().page(1_000, token)).await?;
            taken.extend(page.items.iter().map(|row| row.number));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let free = (0..GREATEST).map(|_| self.turn()).find(|number| !taken.contains(number));
        Ok(free.ok_or(Refusal::BoardFull)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_turn() {
        let numbers = Numbers { next: AtomicU32::new(u32::MAX - 500) };
        let given: Vec<i32> = (0..2 * GREATEST).map(|_| numbers.turn()).collect();
        assert!(given.iter().all(|number| (1..=GREATEST).contains(number)));
        let some: HashSet<i32> = given.iter().copied().collect();
        assert_eq!(some.len(), 999);
    }
}
