//! A replica of the database: answers reads that bear it, as far as it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use artel_proto::persist::Consistency;
use artel_util::Error;
use futures::future::BoxFuture;
use tonic::Code;

use crate::check;
use crate::measure::Name;
use crate::reads::Reads;
use crate::sql::{self, Statement};

/// A replica shows that a transaction was running as long as it has not replayed its end, so all before the oldest one
/// is there to be seen. (What `pg_current_snapshot` says there of the later ones is not to be relied upon.)
const REPLAYED: &str =
    "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint WHERE pg_is_in_recovery()";

/// How often it is proved that it is fit.
const PROBE: Duration = Duration::from_secs(1);

/// A replica. One server: what a read has seen, the next one sees.
pub(crate) struct Replica {
    reads: Reads,
    /// It answers, is a replica, and keeps workspaces apart.
    is_fit: AtomicBool,
    /// All transactions before this one were seen there.
    replayed: AtomicI64,
}

impl Replica {
    pub(crate) fn new(reads: Reads) -> Arc<Self> {
        let (is_fit, replayed) = (AtomicBool::new(false), AtomicI64::new(0));
        Arc::new(Self { reads, is_fit, replayed })
    }

    /// Proves again and again that it is fit.
    pub(crate) async fn watch(self: Arc<Self>) {
        futures::join!(self.reads.database().watch(PROBE), async {
            loop {
                let fit = self.prove().await;
                let was = self.is_fit.swap(fit.is_ok(), Ordering::Relaxed);
                match fit {
                    Ok(()) if !was => tracing::info!("the replica answers reads that bear it"),
                    Err(error) if was => {
                        tracing::warn!(error = format!("{error:#}"), "the primary answers for the replica");
                    }
                    _ => {}
                }
                tokio::time::sleep(PROBE).await;
            }
        });
    }

    async fn prove(&self) -> anyhow::Result<()> {
        check::replica(self.reads.database()).await?;
        anyhow::ensure!(self.replayed().await?.is_some(), "persist.replica_url is no replica");
        Ok(())
    }

    /// Up to where it has come; `None` where it is no replica.
    async fn replayed(&self) -> Result<Option<i64>, Error> {
        let statement = Statement::fixed(REPLAYED).named(Name::of("replica.replayed"));
        let rows = self.reads.database().query(statement).await?;
        let replayed = rows.first().and_then(|row| sql::number(row, 0));
        Ok(replayed.inspect(|replayed| {
            self.replayed.fetch_max(*replayed, Ordering::Relaxed);
        }))
    }

    /// What the replica answers, where it may be asked and is able to; otherwise the primary is to be asked.
    pub(crate) async fn answer<'a, T>(
        &'a self,
        consistency: Option<&Consistency>,
        ask: impl FnOnce(&'a Reads) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Option<Result<T, Error>> {
        let consistency = consistency.filter(|consistency| consistency.allow_stale)?;
        let source = if self.has(consistency.position).await {
            match ask(&self.reads).await {
                Err(error) if is_its_own(&error) => "replica_failed",
                answer => {
                    count("replica");
                    return Some(answer);
                }
            }
        } else {
            "replica_behind"
        };
        count(source);
        None
    }

    async fn has(&self, position: i64) -> bool {
        self.is_fit.load(Ordering::Relaxed)
            && (position < self.replayed.load(Ordering::Relaxed)
                || position == 0
                || matches!(self.replayed().await, Ok(Some(replayed)) if position < replayed))
    }
}

/// True for what the primary may do better: that the replica is away or busy, or that a statement was cancelled, as
/// happens there when what it reads is changed by the replay.
fn is_its_own(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Internal | Code::ResourceExhausted
    )
}

fn count(source: &'static str) {
    metrics::counter!("artel_persist_stale_reads_total", "answered_by" => source).increment(1);
}
