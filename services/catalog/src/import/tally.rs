use artel_proto::catalog::{ImportFeedResponse, RejectedOffer};
use artel_util::Error;

use crate::import::batch::Outcome;

/// Refused offers that are listed; more are counted.
const MOST_LISTED: usize = 1_000;

/// What became of the offers so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) imported: i32,
    pub(crate) updated: i32,
    pub(crate) unchanged: i32,
    pub(crate) rejected_count: i32,
    rejected: Vec<RejectedOffer>,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        self.imported = self.imported.saturating_add(outcome.imported);
        self.updated = self.updated.saturating_add(outcome.updated);
        self.unchanged = self.unchanged.saturating_add(outcome.unchanged);
    }

    pub(crate) fn reject(&mut self, rejected: Vec<RejectedOffer>) {
        let count = i32::try_from(rejected.len()).unwrap_or(i32::MAX);
        self.rejected_count = self.rejected_count.saturating_add(count);
        let room = MOST_LISTED - self.rejected.len();
        self.rejected.extend(rejected.into_iter().take(room));
    }

    /// The error, and what was stored before it: that stays, and sending the feed again is safe.
    pub(crate) fn on(&self, error: Error) -> Error {
        error
            .with("imported", self.imported)
            .with("updated", self.updated)
            .with("unchanged", self.unchanged)
            .with("rejected", self.rejected_count)
    }

    pub(crate) fn into_response(self) -> ImportFeedResponse {
        ImportFeedResponse {
            imported: self.imported,
            updated: self.updated,
            unchanged: self.unchanged,
            rejected: self.rejected,
            rejected_count: self.rejected_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rejections_are_counted_and_the_first_thousand_listed() {
        let mut tally = Tally::default();
        for batch in 0..5 {
            let offer = |line| RejectedOffer { line: batch * 250 + line, ..RejectedOffer::default() };
            tally.reject((0..250).map(offer).collect());
        }
        let response = tally.into_response();
        assert_eq!((response.rejected_count, response.rejected.len()), (1_250, 1_000));
        assert_eq!(response.rejected[999].line, 999);
    }
}
