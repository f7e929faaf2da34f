//! What must always hold of payments, counted from the rows themselves.

mod gather;
mod invariants;

use std::collections::BTreeMap;

use artel_client::Call;
use artel_proto::billing::{CheckInvariantsResponse, Invariant, Payment};
use artel_proto::persist::Operator;
use artel_repo::{Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, TimeDelta, Utc};

use self::gather::{gather, points_of};
use self::invariants::{NAMES, POINTS, broken};

/// Payments that are read together.
const PAGE: i32 = 100;
/// So many examples are named of each invariant.
const EXAMPLES: usize = 5;
/// What is watched all the time: payments of so long, that nothing has happened to for so long.
const RECENT: TimeDelta = TimeDelta::hours(1);
const SETTLED: TimeDelta = TimeDelta::seconds(60);

/// Counts what breaks the invariants. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Monitor {
    repo: Repo,
}

/// What was counted so far.
#[derive(Default)]
struct Tally {
    payments: i64,
    broken: BTreeMap<&'static str, Vec<String>>,
}

impl Monitor {
    pub fn new(repo: Repo) -> Self {
        Self { repo }
    }

    /// Counts over all payments of the call's workspace that nothing has happened to for so many seconds.
    pub async fn check(&self, call: &Call, older_than: i32) -> Result<CheckInvariantsResponse, Error> {
        let mut tally = Tally::default();
        let until = Utc::now() - TimeDelta::seconds(older_than.into());
        self.count(call, DateTime::UNIX_EPOCH, until, &mut tally).await?;
        let invariants = NAMES.iter().map(|name| {
            let broken = tally.broken.get(name).map_or(&[][..], Vec::as_slice);
            Invariant {
                name: (*name).to_owned(),
                violations: i64::try_from(broken.len()).unwrap_or(i64::MAX),
                examples: broken.iter().take(EXAMPLES).cloned().collect(),
            }
        });
        Ok(CheckInvariantsResponse { invariants: invariants.collect(), payments: tally.payments })
    }

    /// Shows in metrics what recent payments break, in whatever workspace.
    pub async fn watch(&self, call: &Call) -> Result<(), Error> {
        let (now, mut tally) = (Utc::now(), Tally::default());
        for workspace in self.repo.workspaces::<Payment>(call, made(now - RECENT, now - SETTLED)).await? {
            let call = Call { workspace, ..call.clone() };
            self.count(&call, now - RECENT, now - SETTLED, &mut tally).await?;
        }
        for name in NAMES {
            let broken = tally.broken.get(name).map_or(&[][..], Vec::as_slice);
            if !broken.is_empty() {
                let examples = broken.iter().take(EXAMPLES).map(String::as_str).collect::<Vec<_>>().join(" ");
                tracing::error!(
                    invariant = name,
                    violations = broken.len(),
                    examples,
                    "an invariant is broken"
                );
            }
            #[allow(clippy::cast_precision_loss)]
            metrics::gauge!("artel_billing_invariant_violations", "invariant" => name)
                .set(broken.len() as f64);
        }
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
            let query = made(since, until).order("create_time", Direction::Ascending).page(PAGE, token);
            let page = self.repo.query::<Payment>(call, query).await?;
            let settled = |payment: &Payment| {
                payment.update_time.as_ref().and_then(to_chrono).is_none_or(|moment| moment <= until)
            };
            self.count_page(call, page.items.into_iter().filter(settled).collect(), tally).await?;
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
                    tally.broken.entry(name).or_default().push(seen.payment.id.clone());
                }
            }
        }
        for user in points_of(&self.repo, call, &payments).await? {
            let broken = tally.broken.entry(POINTS).or_default();
            if !broken.contains(&user) {
                broken.push(user);
            }
        }
        Ok(())
    }
}

fn made(since: DateTime<Utc>, until: DateTime<Utc>) -> Query {
    Query::new()
        .filter(Filter::compare("create_time", Operator::GreaterOrEqual, [from_chrono(since).into()]))
        .filter(Filter::compare("create_time", Operator::LessOrEqual, [from_chrono(until).into()]))
}
