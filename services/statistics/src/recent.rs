use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_proto::statistics::Report;
use artel_util::Error;
use tokio::sync::Mutex;

/// Most periods that are remembered.
const MOST: usize = 200;

/// Which report: workspace, from, and up to where it does not go on until now; microseconds since 1970.
pub(crate) type Period = (String, i64, Option<i64>);

/// Reports that were just made. Of several who ask for one at once, one counts and all get it.
#[derive(Default)]
pub(crate) struct Recent {
    made: Mutex<HashMap<Period, Arc<Mutex<Made>>>>,
}

#[derive(Default)]
struct Made {
    last: Option<(Instant, Report)>,
}

impl Recent {
    /// The report of the period, made by now or at most so long ago. The age is counted from when its counting began: it
    /// holds all that was there by then.
    pub(crate) async fn get<F>(
        &self,
        period: Period,
        age: Duration,
        make: impl FnOnce() -> F,
    ) -> Result<Report, Error>
    where
        F: Future<Output = Result<Report, Error>>,
    {
        let made = {
            let mut all = self.made.lock().await;
            if all.len() >= MOST && !all.contains_key(&period) {
                all.clear();
            }
            Arc::clone(all.entry(period).or_default())
        };
        let mut made = made.lock().await;
        if let Some((begin, report)) = &made.last
            && begin.elapsed() < age
        {
            return Ok(report.clone());
        }
        let begin = Instant::now();
        let report = make().await?;
        made.last = Some((begin, report.clone()));
        Ok(report)
    }
}
