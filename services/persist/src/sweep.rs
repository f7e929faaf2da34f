//! What is too old is swept away, a bounded number of rows at a time.

use artel_util::Error;

use crate::database::Database;
use crate::measure::Name;
use crate::sql::{Statement, with_column};
use crate::value::{self, Kind, read_i64};

const KEYS: &str = "WITH old AS (
    SELECT workspace_id, key FROM idempotency WHERE expire_time < now() ORDER BY expire_time LIMIT 5000
), swept AS (
    DELETE FROM idempotency i USING old WHERE i.workspace_id = old.workspace_id AND i.key = old.key RETURNING 1
)
SELECT count(*) FROM swept";

/// Only what was published: an event is never swept because it waited for long.
const EVENTS: &str = "WITH old AS (
    SELECT o.txid, o.position FROM outbox o, relay r
    WHERE r.name = 'outbox' AND (o.txid < r.txid OR o.txid < r.until AND o.position <= r.position)
      AND o.time < now() - make_interval(days => $1)
    ORDER BY o.txid, o.position LIMIT 5000
), swept AS (
    DELETE FROM outbox o USING old WHERE o.txid = old.txid AND o.position = old.position RETURNING 1
)
SELECT count(*) FROM swept";

/// Sweeps idempotency keys that have expired and events that were published so many days ago.
pub(crate) async fn sweep(system: Database, outbox_days: i32) -> Result<(), Error> {
    let keys = Statement::fixed(KEYS).named(Name::of("idempotency.sweep"));
    let events = Statement::fixed(EVENTS)
        .named(Name::of("outbox.sweep"))
        .bind(Kind::Integer, value::integer(outbox_days));
    for (what, statement) in [("keys", keys), ("events", events)] {
        let mut swept = 0;
        loop {
            let rows = system.query(statement.clone()).await?;
            let count = rows.first().and_then(|row| with_column(row, 0, |cell| cell.and_then(read_i64)));
            let count = count.unwrap_or_default();
            swept += count;
            if count == 0 {
                break;
            }
        }
        if swept > 0 {
            tracing::info!(what, swept, "swept");
        }
    }
    Ok(())
}
