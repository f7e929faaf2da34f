use std::sync::atomic::{AtomicI64, Ordering};

/// A call earns this many thousandths of a retry.
const EARNED: i64 = 200;
/// A retry costs a thousand of them.
const COST: i64 = 1_000;
/// What can be saved up: ten retries.
const MOST: i64 = 10 * COST;

/// Keeps retries to a fifth of the calls, so that they do not drown a service that is down already.
#[derive(Debug)]
pub(crate) struct Budget(AtomicI64);

impl Budget {
    pub(crate) fn full() -> Self {
        Self(AtomicI64::new(MOST))
    }

    pub(crate) fn earn(&self) {
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| Some((saved + EARNED).min(MOST)));
    }

    pub(crate) fn spend(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                (saved >= COST).then_some(saved - COST)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_fifth_of_the_calls() {
        let budget = Budget::full();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
        (0..50).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
