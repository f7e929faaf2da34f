//! The sliding window of this process alone, with the same rule as the shared one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Keys counted at most; the least used are forgotten first.
const MOST_KEYS: u64 = 100_000;

#[derive(Debug, Clone)]
pub struct Windows(moka::future::Cache<String, Arc<Mutex<VecDeque<Instant>>>>);

impl Windows {
    pub fn new(longest: Duration) -> Self {
        Self(moka::future::Cache::builder().max_capacity(MOST_KEYS).time_to_idle(longest).build())
    }

    /// Whether the hit is allowed, what remains after it, and how long to wait for the next. Where it does not count,
    /// what remains is what is there without it.
    pub async fn hit(&self, key: &str, limit: u32, window: Duration, counts: bool) -> (bool, u32, Duration) {
        let hits = self.0.get_with_by_ref(key, async { Arc::default() }).await;
        let mut hits = hits.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while hits.front().is_some_and(|oldest| now.duration_since(*oldest) >= window) {
            hits.pop_front();
        }
        let (count, most) = (hits.len(), limit as usize);
        if count < most {
            if counts {
                hits.push_back(now);
            }
            return (true, limit - hits.len() as u32, Duration::ZERO);
        }
        let blocking = hits.get(count - most).copied().unwrap_or(now);
        (false, 0, window.saturating_sub(now.duration_since(blocking)))
    }

    pub async fn forget(&self, key: &str) {
        self.0.invalidate(key).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn the_window_slides() {
        let windows = Windows::new(MINUTE);
        for remaining in [2, 1, 0] {
            assert_eq!(windows.hit("a", 3, MINUTE, true).await, (true, remaining, Duration::ZERO));
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        // The hits were at 0, 10 and 20; it is 30.
        assert_eq!(windows.hit("a", 3, MINUTE, true).await, (false, 0, Duration::from_secs(30)));
        assert_eq!(windows.hit("b", 3, MINUTE, true).await, (true, 2, Duration::ZERO));
        assert_eq!(
            windows.hit("a", 1, MINUTE, true).await,
            (false, 0, Duration::from_secs(50)),
            "a lowered limit"
        );
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(windows.hit("a", 3, MINUTE, true).await, (true, 0, Duration::ZERO));
        assert_eq!(windows.hit("a", 3, MINUTE, true).await, (false, 0, Duration::from_secs(10)));
        assert_eq!(windows.hit("a", 0, MINUTE, true).await, (false, 0, MINUTE));
    }
    #[tokio::test(start_paused = true)]
    async fn a_look_does_not_count_and_what_is_forgotten_is_gone() {
        let windows = Windows::new(MINUTE);
        for _ in 0..3 {
            assert_eq!(windows.hit("a", 1, MINUTE, false).await, (true, 1, Duration::ZERO));
        }
        assert!(windows.hit("a", 1, MINUTE, true).await.0);
        assert_eq!(windows.hit("a", 1, MINUTE, false).await, (false, 0, MINUTE));
        windows.forget("a").await;
        assert!(windows.hit("a", 1, MINUTE, true).await.0);
    }
}
