use std::sync::atomic::{AtomicI64, Ordering};

use crate::limits::Limits;

/// What a retry costs. A call earns as much of it as the limits say in percent.
const COST: i64 = 100;

/// Keeps retries to a part of the calls, so that they do not drown a service that is down already.
#[derive(Debug)]
pub(crate) struct Budget {
    saved: AtomicI64,
    earned: i64,
    most: i64,
}

impl Budget {
    pub(crate) fn full(limits: &Limits) -> Self {
        let most = i64::from(limits.retry_reserve) * COST;
        Self { saved: AtomicI64::new(most), earned: i64::from(limits.retry_percent), most }
    }

    pub(crate) fn earn(&self) {
        // Mostly there is nothing to earn: all is saved up.
        if self.saved.load(Ordering::Relaxed) < self.most {
            let add = |saved: i64| Some((saved + self.earned).min(self.most));
            let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    pub(crate) fn spend(&self) -> bool {
        let take = |saved: i64| (saved >= COST).then_some(saved - COST);
        self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_the_calls() {
        let budget = Budget::full(&Limits::default());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
        (0..50).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
