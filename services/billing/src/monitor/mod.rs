//! What must always hold of payments, counted from the rows themselves.

mod gather;
mod invariants;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use artel_client::Call;
use artel_proto::billing::{CheckInvariantsResponse, Invariant, Payment, PaymentStatus};
use artel_proto::persist::Operator;
use artel_repo::{Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::from_chrono;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;

use self::gather::{gather, points_of};
use self::invariants::{NAMES, POINTS, broken};

/// Payments that are read together.
const PAGE: i32 = 100;
/// So many examples are named of each invariant.
const EXAMPLES: usize = 5;
/// A payment that nothing has happened to for so long must be as it has to be.
const SETTLED: TimeDelta = TimeDelta::seconds(60);
/// Where the watch begins when a process starts: with what happened since so long ago.
const LOOK_BACK: TimeDelta = TimeDelta::hours(1);

/// Counts what breaks the invariants. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Monitor {
    repo: Repo,
    watched: Arc<Mutex<Watched>>,
}

/// How far the watch is, and what it found broken, to be looked at until it is mended.
struct Watched {
    until: DateTime<Utc>,
    /// Ids of payments by workspace.
    broken: BTreeMap<String, BTreeSet<String>>,
}

/// What was counted so far.
#[derive(Default)]
struct Tally {
    payments: i64,
    broken: BTreeMap<&'static str, BTreeSet<String>>,
    /// The payments that have a part in it.
    suspects: BTreeSet<String>,
}

impl Monitor {
    pub fn new(repo: Repo) -> Self {
        let watched = Watched { until: Utc::now() - LOOK_BACK, broken: BTreeMap::new() };
        Self { repo, watched: Arc::new(Mutex::new(watched)) }
    }

    /// Counts over all payments of the call's workspace that nothing has happened to for so many seconds.
    pub async fn check(&self, call: &Call, older_than: i32) -> Result<CheckInvariantsResponse, Error> {
        let mut tally = Tally::default();
        let until = Utc::now() - TimeDelta::seconds(older_than.into());
        self.count(call, DateTime::UNIX_EPOCH, until, &mut tally).await?;
        let invariants = NAMES.iter().map(|name| Invariant {
            name: (*name).to_owned(),
            violations: i64::try_from(tally.violations(name)).unwrap_or(i64::MAX),
            examples: tally.examples(name),
        });
        Ok(CheckInvariantsResponse { invariants: invariants.collect(), payments: tally.payments })
    }

    /// Shows in metrics what is broken, in whatever workspace: looks at the payments that something has happened to since
    /// the last look, and again at those that were broken then.
    pub async fn watch(&self, call: &Call) -> Result<(), Error> {
        self.watch_until(call, Utc::now() - SETTLED).await
    }

    pub(crate) async fn watch_until(&self, call: &Call, until: DateTime<Utc>) -> Result<(), Error> {
        let mut watched = self.watched.lock().await;
        let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        let touched = self.repo.workspaces::<Payment>(call, touched(watched.until, until)).await?;
        let workspaces: BTreeSet<String> =
            touched.into_iter().chain(watched.broken.keys().cloned()).collect();
        for workspace in workspaces {
            let (call, mut tally) = (Call { workspace: workspace.clone(), ..call.clone() }, Tally::default());
            self.count(&call, watched.until, until, &mut tally).await?;
            for known in watched.broken.get(&workspace).into_iter().flatten() {
                let payment = self.repo.get_many::<Payment>(&call, [known.clone()]).await?;
                self.count_page(&call, payment, &mut tally).await?;
            }
            for name in NAMES {
                *counts.entry(name).or_default() += tally.violations(name);
                let examples = tally.examples(name).join(" ");
                if !examples.is_empty() {
                    tracing::error!(invariant = name, workspace, examples, "an invariant is broken");
                }
            }
            if !tally.suspects.is_empty() {
                left.insert(workspace, tally.suspects);
            }
        }
        for name in NAMES {
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!("artel_billing_invariant_violations", "invariant" => name)
                .set(counts.get(name).copied().unwrap_or_default() as f64);
        }
        *watched = Watched { until, broken: left };
        Ok(())
    }

    async fn count(
        &self,
        call: &Call,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let mut token = String::new();
        loop {
            let query = touched(since, until).page(PAGE, token);
            let page = self.repo.query::<Payment>(call, query).await?;
            self.count_page(call, page.items, tally).await?;
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }

    async fn count_page(&self, call: &Call, payments: Vec<Payment>, tally: &mut Tally) -> Result<(), Error> {
        tally.payments += i64::try_from(payments.len()).unwrap_or_default();
        let suspects = gather(&self.repo, call, payments.clone()).await?;
        let suspects: Vec<_> = suspects.iter().filter(|seen| !broken(seen).is_empty()).collect();
        // Rows are read one after another while others write them: what is broken still is when it is read anew.
        let ids: Vec<_> = suspects.iter().map(|seen| seen.payment.id.clone()).collect();
        if !ids.is_empty() {
            let again = self.repo.get_many::<Payment>(call, ids).await?;
            for seen in gather(&self.repo, call, again).await? {
                for name in broken(&seen) {
                    tally.broken.entry(name).or_default().insert(seen.payment.id.clone());
                    tally.suspects.insert(seen.payment.id.clone());
                }
            }
        }
        for user in points_of(&self.repo, call, &payments).await? {
            let of_user = payments.iter().filter(|payment| payment.user_id == user);
            tally.suspects.extend(of_user.map(|payment| payment.id.clone()));
            tally.broken.entry(POINTS).or_default().insert(user);
        }
        Ok(())
    }
}

impl Tally {
    fn violations(&self, name: &str) -> usize {
        self.broken.get(name).map_or(0, BTreeSet::len)
    }

    fn examples(&self, name: &str) -> Vec<String> {
        self.broken.get(name).into_iter().flatten().take(EXAMPLES).cloned().collect()
    }
}

/// The payments that are over, or should be, and that something happened to after one moment and until another.
fn touched(since: DateTime<Utc>, until: DateTime<Utc>) -> Query {
    let over = [PaymentStatus::Captured, PaymentStatus::Completed, PaymentStatus::Failed];
    Query::new()
        .filter(Filter::one_of("status", over.map(|status| status.as_str_name())))
        .filter(Filter::compare("update_time", Operator::Greater, [from_chrono(since).into()]))
        .filter(Filter::compare("update_time", Operator::LessOrEqual, [from_chrono(until).into()]))
}
