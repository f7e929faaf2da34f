//! Who relays what: the shards of the outbox, and the locks by which the copies of persist share them.
//!
//! A shard is relayed by the connection that holds its lock, so by one at a time, and PostgreSQL itself frees it when that
//! connection ends. Each copy counts the others by the lock that all of them hold, takes what is its share and lets go of
//! what is more.

use diesel_async::AsyncPgConnection;

use super::outbox::{Cursor, SHARDS, cursor};
use super::runs::Runs;
use crate::failure::Failure;
use crate::measure::Name;
use crate::sql::{self, DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind, array_items, read_i32};

/// The number of the lock that every relay holds together with the others. An older version, of which one relayed, holds
/// it alone.
const MEMBER: i64 = 0x0061_7274_656c_0001;
/// The number of the first shard's lock.
const SHARD: i64 = 0x0061_7274_656c_0100;

/// How many relay, how many of them come before this one, and which shards are taken. Of a lock's number `pg_locks` shows
/// the halves.
const LOCKS: &str = "WITH locks AS MATERIALIZED (
    SELECT pid, (classid::bigint << 32) + objid::bigint AS number FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT count(DISTINCT pid) FILTER (WHERE number = $1),
    count(DISTINCT pid) FILTER (WHERE number = $1 AND pid < pg_backend_pid()),
    coalesce(array_agg((number - $2)::integer) FILTER (WHERE number >= $2 AND number < $2 + $3), '{}')
FROM locks";

const TAKE: &str = "SELECT shard FROM unnest($1) AS shard WHERE pg_try_advisory_lock($2 + shard)";
const CURSORS: &str = "SELECT since, until, position, shard FROM relay WHERE shard = ANY($1)";
const FREE: &str = "SELECT pg_advisory_unlock($2 + shard) FROM unnest($1) AS shard";

/// What a copy's share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    /// How many copies relay, this one among them.
    pub(super) copies: usize,
    /// How many shards are this one's.
    pub(super) count: usize,
}

impl Share {
    /// The share of the copy before which so many others come.
    fn of(copies: usize, before: usize) -> Self {
        let copies = copies.max(1);
        Self { copies, count: SHARDS / copies + usize::from(before < SHARDS % copies) }
    }
}

/// True once this connection is among those that relay.
pub(super) async fn join(connection: &AsyncPgConnection) -> Result<bool, Failure> {
    let statement = Statement::fixed("SELECT pg_try_advisory_lock_shared($1)")
        .named(Name::of("relay.join"))
        .bind(Kind::Bigint, value::bigint(MEMBER));
    let rows = statement.load(connection).await?;
    Ok(rows.first().is_some_and(|row| with_column(row, 0, |cell| cell == Some(&[1]))))
}

/// Takes shards that nobody relays, and lets go of what is more than this copy's share.
pub(super) async fn balance(connection: &AsyncPgConnection, runs: &mut Runs) -> Result<Share, Failure> {
    let rows = Statement::fixed(LOCKS)
        .named(Name::of("relay.locks"))
        .bind(Kind::Bigint, value::bigint(MEMBER))
        .bind(Kind::Bigint, value::bigint(SHARD))
        .bind(Kind::Bigint, value::bigint(SHARDS as i64))
        .load(connection)
        .await?;
    let row = rows.first().ok_or_else(|| Failure::Refused("pg_locks says nothing".to_owned()))?;
    let count = |index| {
        let count = sql::number(row, index).unwrap_or_default();
        usize::try_from(count).unwrap_or_default()
    };
    let share = Share::of(count(0), count(1));
    let held = runs.held();
    if held > share.count {
        let freed = runs.remove(held - share.count);
        for (shards, cursor) in &freed {
            super::outbox::advance(connection, cursor, shards, &[]).await?;
            with_shards(FREE, "relay.free", shards)
                .bind(Kind::Bigint, value::bigint(SHARD))
                .load(connection)
                .await?;
        }
    } else if held < share.count {
        let taken = with_column(row, 2, |cell| {
            let items = cell.and_then(array_items).unwrap_or_default();
            items.into_iter().filter_map(read_i32).collect::<Vec<i32>>()
        });
        let all = 0..i32::try_from(SHARDS).unwrap_or(i32::MAX);
        let free = all.filter(|shard| !taken.contains(shard)).take(share.count - held).collect::<Vec<_>>();
        if !free.is_empty() {
            take(connection, &free, runs).await?;
        }
    }
    Ok(share)
}

/// Takes those of the shards that nobody was quicker to take, and goes on where they are.
async fn take(connection: &AsyncPgConnection, free: &[i32], runs: &mut Runs) -> Result<(), Failure> {
    let rows = with_shards(TAKE, "relay.take", free)
        .bind(Kind::Bigint, value::bigint(SHARD))
        .load(connection)
        .await?;
    let shard = |row: &DriverRow, index| with_column(row, index, |cell| cell.and_then(read_i32));
    let taken: Vec<i32> = rows.iter().filter_map(|row| shard(row, 0)).collect();
    // Read after the lock was taken, so that it is what the last holder wrote.
    let rows = with_shards(CURSORS, "relay.cursors", &taken).load(connection).await?;
    let found: Vec<(i32, Cursor)> =
        rows.iter().filter_map(|row| Some((shard(row, 3)?, cursor(row)?))).collect();
    if found.len() != taken.len() {
        return Err(Failure::Refused("the relay has lost its cursors".to_owned()));
    }
    for (shard, cursor) in found {
        runs.add(shard, cursor);
    }
    Ok(())
}

/// The statement with shards as its first parameter.
fn with_shards(text: &'static str, name: &str, shards: &[i32]) -> Statement {
    let mut statement = Statement::fixed(text).named(Name::of(name));
    statement.push_array(shard_array(shards));
    statement
}

pub(super) fn shard_array(shards: &[i32]) -> Array {
    let mut array = Array::new(Kind::Integer);
    shards.iter().for_each(|shard| array.push(Some(&shard.to_be_bytes())));
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_is_in_exactly_one_share_and_shares_differ_by_one_at_most() {
        for copies in 1..=SHARDS * 2 {
            let shares: Vec<usize> = (0..copies).map(|before| Share::of(copies, before).count).collect();
            assert_eq!(shares.iter().sum::<usize>(), SHARDS, "{copies} copies");
            let (most, least) = (shares.iter().max().unwrap(), shares.iter().min().unwrap());
            assert!(most - least <= 1, "{shares:?}");
        }
    }
}
