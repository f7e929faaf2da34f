//! How far a copy is with the shards it relays.
//!
//! Shards that are equally far are read together, as one run: in the long run all of a copy's. What was taken over from
//! others lies behind or ahead of that, as a run of its own, until it is equally far.

use std::sync::Arc;

use super::outbox::Cursor;
use crate::snapshot::Snapshot;

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
                removed.push((out, run.cursor.clone()));
            }
        }
        self.0.retain(|run| !run.shards.is_empty());
        removed
    }

    /// The run that is the furthest behind, and up to which moment it may go: the others wait there, so that it comes to
    /// be as far as they are. No bound where nobody waits.
    pub(super) fn next(&mut self) -> Option<(&mut Run, Option<Arc<Snapshot>>)> {
        let moments = self.0.iter().map(|run| &run.cursor.until);
        let furthest = moments.reduce(|one, other| if other.includes(one) { other } else { one })?.clone();
        let runs = self.0.iter_mut();
        let run = runs.reduce(|one, other| if other.cursor.is_behind(&one.cursor) { other } else { one })?;
        let bound = (run.cursor.until != furthest).then_some(furthest);
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

    fn moment(text: &str) -> Arc<Snapshot> {
        Arc::new(Snapshot::parse(text).unwrap())
    }

    fn end(text: &str) -> Cursor {
        Cursor::end(moment(text))
    }

    fn at(since: &str, until: &str, position: i64) -> Cursor {
        Cursor { since: moment(since), until: moment(until), position }
    }

    #[test]
    fn what_was_taken_over_catches_up_and_becomes_one_with_the_rest() {
        let (now, middle) = ("7:9:7", at("4:5:4", "7:9:7", 40));
        let mut runs = Runs::default();
        runs.add(0, middle.clone());
        runs.add(1, middle);
        runs.add(2, end("3:3:"));
        // As many transactions were there, but one was still running.
        runs.add(3, end("6:9:6,7"));
        assert_eq!(runs.held(), 4);
        let mut order = Vec::new();
        while !runs.are_one() {
            let (run, bound) = runs.next().unwrap();
            order.push((run.shards.clone(), bound.clone()));
            // Read to the end of its window, or of the next one.
            let is_at_end = run.cursor.is_at_end();
            run.cursor = Cursor::end(if is_at_end { bound.unwrap() } else { run.cursor.until.clone() });
            runs.merge();
        }
        let bound = || Some(moment(now));
        assert_eq!(order, [(vec![2], bound()), (vec![3], bound()), (vec![0, 1], None)]);
        let (run, bound) = runs.next().unwrap();
        assert_eq!((run.shards.len(), run.cursor.clone(), bound), (4, end(now), None));
    }

    #[test]
    fn shards_are_let_go_with_the_place_where_they_are() {
        let mut runs = Runs::default();
        (0..3).for_each(|shard| runs.add(shard, end("3:3:")));
        runs.add(3, end("4:4:"));
        assert_eq!(runs.remove(2), [(vec![1, 2], end("3:3:"))]);
        assert_eq!(runs.remove(2), [(vec![0], end("3:3:")), (vec![3], end("4:4:"))]);
        assert!(runs.next().is_none() && runs.held() == 0);
    }
}
