//! Load: closed loops for capacity, open loops for latency.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::rounds::Work;

/// The longest that a histogram tells apart. Microseconds.
const LONGEST: u64 = 600_000_000;

/// How long requests took.
#[derive(Debug, Clone, Copy, Serialize)]
#[allow(missing_docs)]
pub struct Latency {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
}

/// Takes times in.
pub struct Times(Histogram<u64>);

impl Times {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, LONGEST, 3)?))
    }

    /// One more.
    pub fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(LONGEST);
        self.0.saturating_record(micros.clamp(1, LONGEST));
    }

    /// What they were.
    pub fn latency(&self) -> Latency {
        let ms = |quantile: f64| self.0.value_at_quantile(quantile) as f64 / 1e3;
        Latency {
            count: self.0.len(),
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: self.0.max() as f64 / 1e3,
        }
    }
}

/// Clients that each send the next request when the last is answered: what can be done at most.
pub async fn closed<F, R>(clients: usize, time: Duration, client: impl Fn(usize) -> F) -> Result<Work>
where
    F: FnMut() -> R,
    R: Future<Output = Result<()>>,
{
    let times = RefCell::new(Times::new()?);
    let end = Instant::now() + time;
    let loops = (0..clients).map(|number| {
        let mut request = client(number);
        let times = &times;
        async move {
            loop {
                let begin = Instant::now();
                if begin >= end {
                    return anyhow::Ok(());
                }
                request().await?;
                times.borrow_mut().record(begin.elapsed());
            }
        }
    });
    let _: Vec<()> = try_join_all(loops).await?;
    let latency = times.borrow().latency();
    Ok(Work { done: latency.count, latency: Some(latency), ..Work::default() })
}

/// When each request of an open loop is due, whatever became of those before: latency counted from there leaves nothing
/// of a stall out. Yields the moments as they come, until the time is over.
pub struct Due {
    begin: Instant,
    every: Duration,
    end: Instant,
    next: u32,
}

impl Due {
    /// So many a second for so long.
    pub fn new(rate: f64, time: Duration) -> Self {
        let begin = Instant::now();
        Self { begin, every: Duration::from_secs_f64(1.0 / rate.max(1.0)), end: begin + time, next: 0 }
    }

    /// Waits until the next one is due; `None` at the end.
    pub async fn next(&mut self) -> Option<Instant> {
        let due = self.begin + self.every * self.next;
        if due >= self.end {
            return None;
        }
        self.next += 1;
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stall_does_not_move_what_is_due_after_it() {
        let mut due = Due::new(1_000.0, Duration::from_millis(10));
        let first = due.next().await.unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let second = due.next().await.unwrap();
        assert_eq!(second - first, Duration::from_millis(1));
        let mut rest = 0;
        while due.next().await.is_some() {
            rest += 1;
        }
        assert_eq!(rest, 8);
    }

    #[tokio::test]
    async fn a_closed_loop_counts_what_was_answered_and_ends_at_an_error() {
        let work = closed(2, Duration::from_millis(20), |_| {
            || async {
                tokio::task::yield_now().await;
                Ok(())
            }
        });
        assert!(work.await.unwrap().done > 0);
        let failing = closed(2, Duration::from_secs(60), |_| || async { anyhow::bail!("no") });
        assert!(failing.await.is_err());
    }
}
