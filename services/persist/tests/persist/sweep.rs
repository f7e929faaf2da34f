//! What is old goes, and what is still needed stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

fn keyed(key: &str) -> CommitRequest {
    CommitRequest { idempotency: once(key, b"d", b"a"), ..CommitRequest::default() }
}

/// As if the turns of the keys had begun so much earlier.
async fn age_turns(postgres: &Postgres, interval: &str) {
    let sql = format!("UPDATE idempotency_turn SET time = time - interval '{interval}'");
    postgres.batch_execute(&sql).await.unwrap();
}

/// Whether the turn of the keys began just now.
async fn is_new(postgres: &Postgres) -> bool {
    let sql = "SELECT count(*) FROM idempotency_turn WHERE name = 'idempotency' AND time > now() - interval '1 hour'";
    count(postgres, sql).await == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_kept_for_seven_days() {
    let bench = Bench::new().await;
    let (client, postgres) = (bench.client(), bench.database.superuser().await.unwrap());
    let records = async |which: &str| {
        let sql = "SELECT (SELECT count(*) FROM idempotency WHERE key = '?')
            + (SELECT count(*) FROM idempotency_before WHERE key = '?')";
        count(&postgres, &sql.replace('?', which)).await
    };
    client.send(keyed("old")).await.unwrap();
    client.send(placed("without a key")).await.unwrap();
    // What only serves to resolve a lost answer does not stay.
    for kept in [1, 0] {
        age_turns(&postgres, "11 min").await;
        bench.database.sweep(0).await.unwrap();
        assert_eq!(count(&postgres, "SELECT count(*) FROM outcome").await, 0);
        assert_eq!(count(&postgres, "SELECT count(*) FROM outcome_before").await, kept);
    }
    assert!(client.send(keyed("old")).await.unwrap().replayed);
    age_turns(&postgres, "168 hours").await;
    // Two copies at once: the turn ends once, and what was taken in it is still known.
    let (one, other) = tokio::join!(bench.database.sweep(0), bench.database.sweep(0));
    one.and(other).unwrap();
    assert!(client.send(keyed("old")).await.unwrap().replayed);
    client.send(keyed("young")).await.unwrap();
    age_turns(&postgres, "167 hours").await;
    bench.database.sweep(0).await.unwrap();
    assert_eq!((records("old").await, records("young").await), (1, 1));
    age_turns(&postgres, "1 hour").await;
    bench.database.sweep(0).await.unwrap();
    assert_eq!((records("old").await, records("young").await), (0, 1));
    assert!(!client.send(keyed("old")).await.unwrap().replayed);
    assert!(client.send(keyed("young")).await.unwrap().replayed);
}

/// Turns end while keys are taken, by two each.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_once_whatever_turn_it_is() {
    let bench = Bench::new().await;
    let (client, postgres) = (bench.client(), bench.database.superuser().await.unwrap());
    for round in 0..8 {
        age_turns(&postgres, "8 days").await;
        let swept = Arc::new(AtomicBool::new(false));
        let workers = (0..16).map(|worker| {
            let (client, swept) = (client.clone(), Arc::clone(&swept));
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while answers.len() < 5 || !swept.load(Ordering::Relaxed) {
                    let key = format!("{round}/{}/{}", worker / 2, answers.len());
                    let replayed = client.send(keyed(&key)).await.unwrap().replayed;
                    answers.push((key, replayed));
                }
                answers
            })
        });
        let workers: Vec<_> = workers.collect();
        let mut tries = 0;
        while let Err(error) = bench.database.sweep(0).await {
            tries += 1;
            assert!(tries < 10, "the turn does not end: {error}");
        }
        swept.store(true, Ordering::Relaxed);
        let mut taken: HashMap<String, usize> = HashMap::new();
        for (key, replayed) in futures::future::try_join_all(workers).await.unwrap().into_iter().flatten() {
            *taken.entry(key).or_default() += usize::from(!replayed);
        }
        assert!(is_new(&postgres).await, "the turn did not end");
        for (key, times) in &taken {
            assert_eq!(*times, 1, "{key}");
        }
        for key in taken.into_keys().take(100) {
            assert!(client.send(keyed(&key)).await.unwrap().replayed, "{key}");
        }
    }
}

/// A turn does not end before those who take keys in it are done, and who comes later looks for theirs.
#[tokio::test(flavor = "multi_thread")]
async fn a_turn_waits_for_who_takes_keys_in_it() {
    const TAKE: &str = "INSERT INTO idempotency (workspace_id, key, digest, answer, commit_id)
        VALUES ($1::text::uuid, 'k', 'd', 'a', gen_random_uuid()) ON CONFLICT (workspace_id, key) DO NOTHING";
    let bench = Bench::new().await;
    let (client, postgres) = (bench.client(), bench.database.superuser().await.unwrap());
    // Its statements are prepared for the tables as they are called now.
    client.send(keyed("before")).await.unwrap();
    let mut slow = bench.database.superuser().await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    assert_eq!(transaction.execute(TAKE, &[&WORKSPACE]).await.unwrap(), 1);
    age_turns(&postgres, "8 days").await;
    assert!(
        bench.database.sweep(0).await.is_err() && !is_new(&postgres).await,
        "the turn ended under a commit"
    );
    transaction.commit().await.unwrap();
    bench.database.sweep(0).await.unwrap();
    assert!(is_new(&postgres).await);
    for key in ["before", "k"] {
        assert!(client.send(keyed(key)).await.unwrap().replayed, "{key}");
    }
    // Without the look into the turn before, the key would be taken a second time.
    let transaction = slow.transaction().await.unwrap();
    assert_eq!(transaction.execute(TAKE, &[&WORKSPACE]).await.unwrap(), 1);
}

/// Keys from before there were turns are known for as long as all others.
#[tokio::test(flavor = "multi_thread")]
async fn keys_from_before_the_turns_are_known() {
    let database = TestDatabase::before("0010_history").await.unwrap();
    let postgres = database.superuser().await.unwrap();
    postgres
        .batch_execute(&format!(
            "INSERT INTO idempotency (workspace_id, key, digest, answer, commit_id, expire_time)
             VALUES ('{WORKSPACE}', 'old', 'd', 'a', gen_random_uuid(), now() + interval '1 day')"
        ))
        .await
        .unwrap();
    database.migrate().await.unwrap();
    let service = database.persist().await.unwrap();
    let client = client(&service, WORKSPACE);
    assert!(client.send(keyed("old")).await.unwrap().replayed);
    age_turns(&postgres, "168 hours").await;
    database.sweep(0).await.unwrap();
    assert!(client.send(keyed("old")).await.unwrap().replayed);
    age_turns(&postgres, "168 hours").await;
    database.sweep(0).await.unwrap();
    assert!(!client.send(keyed("old")).await.unwrap().replayed);
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
