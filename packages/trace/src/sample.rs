//! What share of the traces that start here is collected.

use std::sync::atomic::{AtomicU64, Ordering};

/// Traces whose lower 64 bits are below this are collected. None, until somebody says otherwise.
static BELOW: AtomicU64 = AtomicU64::new(0);

/// A share that is none.
#[derive(Debug, thiserror::Error)]
#[error("must be between 0 and 100 percent, is {0}")]
pub struct BadShare(f64);

/// Collects this share of the traces that start in this process, from now on. In percent, 0 to 100.
///
/// # Errors
/// For a number that is no share.
pub fn set_share(percent: f64) -> Result<(), BadShare> {
    if !(0.0..=100.0).contains(&percent) {
        return Err(BadShare(percent));
    }
    // Saturates: 100 percent is every number but the greatest.
    BELOW.store((percent / 100.0 * u64::MAX as f64) as u64, Ordering::Relaxed);
    Ok(())
}

/// By the id, which is random: every process comes to the same answer.
pub(crate) fn chosen(id: u128) -> bool {
    (id as u64) < BELOW.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_collected() {
        assert!(set_share(-0.1).is_err() && set_share(100.1).is_err() && set_share(f64::NAN).is_err());
        set_share(25.0).unwrap();
        let collected = (0..10_000).filter(|_| chosen(rand::random())).count();
        assert!((2_000..3_000).contains(&collected), "{collected}");
        set_share(100.0).unwrap();
        assert!((0..1_000).all(|_| chosen(rand::random())));
        set_share(0.0).unwrap();
        assert!(!(0..1_000).any(|_| chosen(rand::random())));
    }
}
