//! What is old goes, and what is still needed stays.

use std::time::{Duration, Instant};

use artel_persist::testing::TestDatabase;
use artel_proto::persist::CommitRequest;
use tokio_postgres::Client as Postgres;

use crate::broker::Memory;
use crate::support::*;

async fn count(postgres: &Postgres, sql: &str) -> i64 {
    postgres.query_one(sql, &[]).await.unwrap().get(0)
}

async fn days(postgres: &Postgres) -> Vec<String> {
    let sql = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'outbox'::regclass ORDER BY 1";
    postgres.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn told(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.extend(client.send(placed("k")).await.unwrap().event_ids);
    }
    ids
}

/// Until it is written down that everything is published.
async fn noted(postgres: &Postgres) {
    let open = "SELECT count(*) FROM relay WHERE oldest <= (SELECT max(txid) FROM outbox)";
    for _ in 0..600 {
        if count(postgres, open).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the relay does not write down how far it is");
}

/// As if it had all happened and been made so many days ago.
async fn age(postgres: &Postgres, days: i32) {
    let sql = format!(
        "UPDATE outbox SET time = time - make_interval(days => {days});
         UPDATE outbox_day SET make_time = make_time - make_interval(days => {days})"
    );
    postgres.batch_execute(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_kept_for_seven_days() {
    let bench = Bench::new().await;
    let (client, postgres) = (bench.client(), bench.database.superuser().await.unwrap());
    let keyed = |key: &str| CommitRequest { idempotency: once(key, b"d", b"a"), ..CommitRequest::default() };
    client.send(keyed("old")).await.unwrap();
    client.send(keyed("young")).await.unwrap();
    client.send(placed("without a key")).await.unwrap();
    let expire = "UPDATE idempotency SET expire_time = now() - interval '1 s' WHERE key = 'old'";
    postgres.batch_execute(expire).await.unwrap();
    // Two copies at once.
    let (one, other) = tokio::join!(bench.database.sweep(0), bench.database.sweep(0));
    one.and(other).unwrap();
    assert_eq!(count(&postgres, "SELECT count(*) FROM idempotency WHERE key = 'old'").await, 0);
    assert!(!client.send(keyed("old")).await.unwrap().replayed);
    assert!(client.send(keyed("young")).await.unwrap().replayed);
    let kept =
        "SELECT count(*) FROM idempotency WHERE key = 'young' AND expire_time > now() + interval '167 hours'";
    assert_eq!(count(&postgres, kept).await, 1);
    // What only serves to resolve a lost answer does not fill the table.
    let brief = "SELECT count(*) FROM idempotency WHERE key LIKE 'commit/%' AND expire_time < now() + interval '11 min'";
    assert_eq!(count(&postgres, brief).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_the_outbox_goes_when_it_is_old_and_published() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    let (service, relay) = database.relaying(broker.clone()).await.unwrap();
    let (client, postgres) = (client(&service, WORKSPACE), database.superuser().await.unwrap());
    broker.wait_for(&told(&client, 50).await).await;
    noted(&postgres).await;
    let before = days(&postgres).await;
    let first = before.iter().find(|name| *name != "outbox_before").unwrap().clone();
    age(&postgres, 1).await;

    // Three days later there are partitions for three days more, and events go into the one of that day.
    database.sweep(3).await.unwrap();
    assert_eq!(days(&postgres).await.len(), before.len() + 3);
    let ids = told(&client, 10).await;
    broker.wait_for(&ids).await;
    noted(&postgres).await;
    let by_day = "SELECT count(DISTINCT tableoid) FROM outbox";
    assert_eq!(count(&postgres, by_day).await, 2);
    // Nothing is swept that is not old, and nothing while it is still written into.
    assert!(days(&postgres).await.contains(&first));
    assert_eq!(count(&postgres, "SELECT count(*) FROM outbox").await, 60);

    // What was not published stays however old it is.
    relay.abort();
    let _ = relay.await;
    let kept = told(&client, 10).await;
    age(&postgres, 30).await;
    // The first makes the partition of its day, which is used when it is not quite new.
    database.sweep(20).await.unwrap();
    age(&postgres, 1).await;
    database.sweep(20).await.unwrap();
    assert!(!days(&postgres).await.contains(&first), "what was published and is old should be gone");
    assert_eq!(count(&postgres, "SELECT count(*) FROM outbox").await, 20);
    broker.0.lock().unwrap().events.clear();
    let (_service, _relay) = database.relaying(broker.clone()).await.unwrap();
    broker.wait_for(&kept).await;
    assert_eq!(broker.ids(), kept, "only what was not published is");
    noted(&postgres).await;
    database.sweep(20).await.unwrap();
    assert_eq!(count(&postgres, "SELECT count(*) FROM outbox").await, 0);
}

/// Somebody holds the outbox: the sweep does not wait, so that nobody waits behind it, and has it another time.
#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_day_does_not_hold_writers_up() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let (client, postgres) = (client(&service, WORKSPACE), database.superuser().await.unwrap());
    broker.wait_for(&told(&client, 10).await).await;
    let first = days(&postgres).await.into_iter().find(|name| name != "outbox_before").unwrap();
    age(&postgres, 30).await;
    database.sweep(3).await.unwrap();
    broker.wait_for(&told(&client, 10).await).await;
    noted(&postgres).await;

    let mut slow = database.superuser().await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    transaction.execute("SELECT count(*) FROM outbox", &[]).await.unwrap();
    let writing = async {
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            let started = Instant::now();
            told(&client, 1).await;
            longest = longest.max(started.elapsed());
        }
        longest
    };
    let (swept, longest) = tokio::join!(database.sweep(20), writing);
    assert!(swept.is_err(), "the partition was dropped while it was read");
    // The lock is waited for no longer than 100 ms; behind a sweep that waits as long as it takes this never ends.
    assert!(longest < Duration::from_secs(3), "a commit took {longest:?}");
    transaction.commit().await.unwrap();
    database.sweep(20).await.unwrap();
    assert!(!days(&postgres).await.contains(&first));
}

/// The outbox as it was before there were partitions: its events are neither lost nor told twice.
#[tokio::test(flavor = "multi_thread")]
async fn events_from_before_the_partitions_are_kept() {
    let database = TestDatabase::before("0006_relay").await.unwrap();
    let postgres = database.superuser().await.unwrap();
    postgres
        .batch_execute(
            "INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace)
             SELECT gen_random_uuid(), gen_random_uuid(), 'artel.order.v1.OrderPlaced', 'order.placed', n::text, '',
                 '', '', '' FROM generate_series(1, 40) AS n;
             UPDATE relay SET until = o.txid + 1, txid = o.txid, position = o.position
             FROM (SELECT txid, position FROM outbox ORDER BY position OFFSET 9 LIMIT 1) o",
        )
        .await
        .unwrap();
    let rows = postgres.query("SELECT id::text FROM outbox ORDER BY position OFFSET 10", &[]).await.unwrap();
    let mut open: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    database.migrate().await.unwrap();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    open.extend(told(&client(&service, WORKSPACE), 10).await);
    broker.wait_for(&open).await;
    assert_eq!(broker.ids(), open);
}
