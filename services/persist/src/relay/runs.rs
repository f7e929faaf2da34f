//! How far a copy is with the shards it relays.
//!
//! Shards that are equally far are read together, as one run: in the long run all of a copy's. What was taken over from
//! others lies behind or ahead of that, as a run of its own, until it is equally far.

use super::outbox::Cursor;

/// Shards that are equally far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) shards: Vec<i32>,
    pub(super) cursor: Cursor,
    /// Something was passed that the database does not know of yet.
    pub(super) unsaved: bool,
}

/// All that a copy relays.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    pub(super) fn held(&self) -> usize {
        self.0.iter().map(|run| run.shards.len()).sum()
    }

    /// Adds a shard that is so far.
    pub(super) fn add(&mut self, shard: i32, cursor: Cursor) {
        match self.0.iter_mut().find(|run| run.cursor == cursor) {
            Some(run) => run.shards.push(shard),
            None => self.0.push(Run { shards: vec![shard], cursor, unsaved: false }),
        }
    }

    /// Takes so many shards out, and says how far they are.
    pub(super) fn remove(&mut self, count: usize) -> Vec<(Vec<i32>, Cursor)> {
        let (mut left, mut removed) = (count, Vec::new());
        for run in &mut self.0 {
            let keep = run.shards.len().saturating_sub(left);
            let out = run.shards.split_off(keep);
            left -= out.len();
            if !out.is_empty() {
                removed.push((out, run.cursor));
            }
        }
        self.0.retain(|run| !run.shards.is_empty());
        removed
    }

    /// The run that is the furthest behind, and up to which transaction it may go: the others wait there, so that it
    /// comes to be as far as they are. No bound where nobody waits.
    pub(super) fn next(&mut self) -> Option<(&mut Run, Option<i64>)> {
        let furthest = self.0.iter().map(|run| run.cursor.until).max()?;
        let run = self.0.iter_mut().min_by_key(|run| (run.cursor.until, run.cursor.is_at_end()))?;
        let bound = (run.cursor.until < furthest).then_some(furthest);
        Some((run, bound))
    }

    /// Makes one run of those that came to be equally far.
    pub(super) fn merge(&mut self) {
        let mut merged: Vec<Run> = Vec::with_capacity(self.0.len());
        for run in self.0.drain(..) {
            match merged.iter_mut().find(|other| other.cursor == run.cursor) {
                Some(other) => {
                    other.shards.extend(run.shards);
                    other.unsaved |= run.unsaved;
                }
                None => merged.push(run),
            }
        }
        self.0 = merged;
    }

    /// True where all are equally far.
    pub(super) fn are_one(&self) -> bool {
        self.0.len() <= 1
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Run> {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(txid: i64, until: i64, position: i64) -> Cursor {
        Cursor { txid, until, position }
    }

    #[test]
    fn what_was_taken_over_catches_up_and_becomes_one_with_the_rest() {
        let mut runs = Runs::default();
        runs.add(0, at(5, 9, 40));
        runs.add(1, at(5, 9, 40));
        runs.add(2, Cursor::end(3));
        runs.add(3, Cursor::end(7));
        assert_eq!(runs.held(), 4);
        let mut order = Vec::new();
        while !runs.are_one() {
            let (run, bound) = runs.next().unwrap();
            order.push((run.shards.clone(), bound));
            // Read to the end of its window, or of the next one.
            run.cursor = Cursor::end(if run.cursor.is_at_end() { bound.unwrap() } else { run.cursor.until });
            runs.merge();
        }
        assert_eq!(order, [(vec![2], Some(9)), (vec![3], Some(9)), (vec![0, 1], None)]);
        let (run, bound) = runs.next().unwrap();
        assert_eq!((run.shards.len(), run.cursor, bound), (4, Cursor::end(9), None));
    }

    #[test]
    fn shards_are_let_go_with_the_place_where_they_are() {
        let mut runs = Runs::default();
        (0..3).for_each(|shard| runs.add(shard, Cursor::end(3)));
        runs.add(3, Cursor::end(4));
        assert_eq!(runs.remove(2), [(vec![1, 2], Cursor::end(3))]);
        assert_eq!(runs.remove(2), [(vec![0], Cursor::end(3)), (vec![3], Cursor::end(4))]);
        assert!(runs.next().is_none() && runs.held() == 0);
    }
}
