//! Which transactions were over at a moment: what a reader of a log has seen, and what it has not.
//!
//! A transaction's number is given out when it first writes, so neither the numbers nor the positions in a log say what
//! was committed before what. PostgreSQL's snapshots do: a transaction that waited for the lock of a row is over after
//! the one that held it in every snapshot. So a log is read in windows, each from one snapshot to the next: what the
//! later sees and the earlier does not, in the order of positions, which are given out under the locks of the rows.
//! Nothing is skipped, nothing comes twice, and the changes of a row come in the order in which they happened.
//!
//! Windows that end at the oldest running transaction (`pg_snapshot_xmin`) skip nothing either, but can tear the order
//! of a row apart: of the transactions 10, 11 and 12, let 12 change the row first, 10 second, and 11 still run. A window
//! that ends at 11 holds 10's change, and only the next one 12's, which came before.

use std::fmt;
use std::sync::Arc;

use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind};

/// A window of a table with a column `txid` as rows to select from: parameters `$1` to `$4`, made by [`window`]. Two
/// walks over an index that begins with `txid`: transactions that are new, and those that were running before.
macro_rules! rows_of_window {
    ($table:literal, $and:literal) => {
        concat!(
            "(SELECT * FROM ",
            $table,
            " WHERE txid >= $1 AND txid < $3 AND txid <> ALL($4)",
            $and,
            " UNION ALL SELECT * FROM ",
            $table,
            " WHERE txid = ANY($2) AND txid < $3 AND txid <> ALL($4)",
            $and,
            ") w"
        )
    };
}
pub(crate) use rows_of_window;

/// Which transactions were over at a moment. Those of one database are in a row: of two snapshots one sees all that the
/// other sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    /// All from here on were still to come.
    next: i64,
    /// Those before it that were still running, in order.
    running: Vec<i64>,
}

impl Snapshot {
    /// Before all transactions.
    pub(crate) fn beginning() -> Self {
        Self { next: i64::MIN, running: Vec::new() }
    }

    /// After all transactions.
    pub(crate) fn end() -> Self {
        Self { next: i64::MAX, running: Vec::new() }
    }

    /// The moment when all transactions before this one were over, and no other.
    pub(crate) fn before(txid: i64) -> Self {
        Self { next: txid, running: Vec::new() }
    }

    /// The text of a `pg_snapshot`: `10:20:10,14`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let least: i64 = parts.next()?.parse().ok()?;
        let next: i64 = parts.next()?.parse().ok()?;
        let list = parts.next()?;
        let running = list.split(',').filter(|number| !number.is_empty());
        let running = running.map(|number| number.parse().ok()).collect::<Option<Vec<i64>>>()?;
        let sorted = running.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = running.iter().all(|number| (least..next).contains(number));
        (least <= next && sorted && inside).then_some(Self { next, running })
    }

    /// The text in a column.
    pub(crate) fn read(row: &DriverRow, index: usize) -> Option<Self> {
        with_column(row, index, |cell| Self::parse(std::str::from_utf8(cell?).ok()?))
    }

    /// True for a transaction that was over.
    pub(crate) fn sees(&self, txid: i64) -> bool {
        txid < self.next && self.running.binary_search(&txid).is_err()
    }

    /// True where everything that the other sees is seen.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        self.next >= other.next && self.running.iter().all(|txid| !other.sees(*txid))
    }

    /// All transactions before this one were over.
    pub(crate) fn oldest(&self) -> i64 {
        self.running.first().copied().unwrap_or(self.next)
    }

    /// The first transaction that was still to come.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// Adds two parameters that `txid < $1 AND txid <> ALL($2)` tells what is seen by.
    pub(crate) fn bind_to(&self, statement: Statement) -> Statement {
        let mut running = Array::new(Kind::Bigint);
        self.running.iter().for_each(|txid| running.push(Some(&txid.to_be_bytes())));
        let mut statement = statement.bind(Kind::Bigint, value::bigint(self.next));
        statement.push_array(running);
        statement
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:", self.oldest(), self.next)?;
        for (index, txid) in self.running.iter().enumerate() {
            write!(out, "{}{txid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A statement over [`rows_of_window`]: what `until` sees and `since` does not.
pub(crate) fn window(text: impl Into<Arc<str>>, since: &Snapshot, until: &Snapshot) -> Statement {
    until.bind_to(since.bind_to(Statement::fixed(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::parse(text).unwrap()
    }

    #[test]
    fn a_snapshot_sees_what_was_over() {
        let seen: Vec<i64> = (8..16).filter(|txid| snapshot("10:14:10,12").sees(*txid)).collect();
        assert_eq!(seen, [8, 9, 11, 13]);
        assert!(!Snapshot::beginning().sees(i64::MIN) && Snapshot::end().sees(i64::MAX - 1));
        for text in ["10:14:10,12", "5:5:", "3:9:8"] {
            let again = snapshot(text).to_string();
            assert_eq!(snapshot(&again), snapshot(text), "{again}");
        }
        for text in ["", "1", "1:2", "5:4:", "1:5:9", "1:5:3,2", "a:b:", "1:5:x"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_later_snapshot_includes_an_earlier_one() {
        let moments = ["1:1:", "10:14:10,12", "10:14:10", "10:16:10,14", "16:16:", "20:22:20"];
        let moments = moments.map(snapshot);
        for (at, earlier) in moments.iter().enumerate() {
            assert!(Snapshot::end().includes(earlier) && earlier.includes(&Snapshot::beginning()));
            for later in &moments[at..] {
                assert!(later.includes(earlier), "{later} {earlier}");
                let seen = (0..25).all(|txid| !later.sees(txid) || earlier.sees(txid));
                assert_eq!(earlier.includes(later), seen, "{earlier} {later}");
            }
        }
    }
}
