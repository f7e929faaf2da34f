//! The relay skips nothing, keeps the order of each key, and goes on after whatever happens.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::order::OrderCancelled;
use artel_proto::persist::CommitRequest;
use artel_util::new_id;
use futures::future::try_join_all;

use crate::broker::Memory;
use crate::support::*;

async fn events(client: &Client, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count / 50 {
        let commits = (0..50).map(|_| client.send(placed("k")));
        let answers = try_join_all(commits).await.unwrap();
        ids.extend(answers.into_iter().flat_map(|answer| answer.event_ids));
    }
    ids
}

/// The rows of a transaction that commits long after a thousand others were published are published too. Beside it the
/// naive way, "greater than the last one seen", which loses them: without that this would prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_is_not_skipped() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    // Two copies, as in a mesh that is scaled.
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let (_, _other) = relaying(&database.settings().unwrap(), broker.clone()).await.unwrap();
    let client = client(&service, WORKSPACE);

    let naive = database.superuser().await.unwrap();
    let mut naive_last = 0_i64;
    let mut naive_seen: HashSet<String> = HashSet::new();
    let mut look = async || {
        let sql = "SELECT position, id::text FROM outbox WHERE position > $1 ORDER BY position";
        for row in naive.query(sql, &[&naive_last]).await.unwrap() {
            naive_last = row.get(0);
            naive_seen.insert(row.get(1));
        }
        naive_seen.clone()
    };

    let mut slow = database.superuser().await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    let late = new_id();
    let sql = "INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace)
               VALUES ($1::text::uuid, $2::text::uuid, 'artel.order.v1.OrderPlaced', 'order.placed', 'k', '', '', '', '')";
    transaction.execute(sql, &[&late, &WORKSPACE]).await.unwrap();

    let started = std::time::Instant::now();
    let mut ids = events(&client, 1_000).await;
    look().await;
    // Held for 5 s, as a slow transaction may; nothing is to be published past it in the meantime.
    tokio::time::sleep(Duration::from_secs(5).saturating_sub(started.elapsed())).await;
    assert!(broker.ids().is_empty(), "published past a transaction that was still running");
    transaction.commit().await.unwrap();
    ids.push(late.clone());
    broker.wait_for(&ids).await;
    assert!(!look().await.contains(&late), "the naive way did not skip: this test would not show a fault");
    let published = broker.ids();
    assert_eq!(published.len(), published.iter().collect::<HashSet<_>>().len(), "published twice");
}

/// Of two transactions that change one row, the one that began later may have the row first. What happened to the row
/// is told in the order in which it happened. Beside it the order of the transactions' numbers, which is another.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_row_keep_the_order_in_which_it_changed() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let mut ids = events(&client(&service, WORKSPACE), 50).await;
    broker.wait_for(&ids).await;

    let sql = "INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace)
               VALUES ($1::text::uuid, $2::text::uuid, 'artel.order.v1.OrderPlaced', 'order.placed', 'row', '', '', '', '')";
    let (mut early, mut late) = (database.superuser().await.unwrap(), database.superuser().await.unwrap());
    let early = early.transaction().await.unwrap();
    early.execute("SELECT pg_current_xact_id()", &[]).await.unwrap();
    let late = late.transaction().await.unwrap();
    let (first, second) = (new_id(), new_id());
    late.execute(sql, &[&first, &WORKSPACE]).await.unwrap();
    late.commit().await.unwrap();
    early.execute(sql, &[&second, &WORKSPACE]).await.unwrap();
    early.commit().await.unwrap();
    ids.extend([first.clone(), second.clone()]);
    broker.wait_for(&ids).await;
    assert_eq!(broker.ids()[50..], [first.clone(), second.clone()]);

    let naive = "SELECT id::text FROM outbox WHERE key = 'row' ORDER BY txid, position";
    let rows = database.superuser().await.unwrap().query(naive, &[]).await.unwrap();
    let naive: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(naive, [second, first], "their numbers do not tell: this test would not show a fault");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_does_not_confirm_is_published_again_in_order() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    broker.0.lock().unwrap().fail_after = vec![3, 0, 7];
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let client = client(&service, WORKSPACE);
    let mut ids: HashMap<&str, Vec<String>> = HashMap::new();
    for round in 0..40 {
        let key = ["a", "b", "c"][round % 3];
        let answer = client.send(placed(key)).await.unwrap();
        ids.entry(key).or_default().extend(answer.event_ids);
    }
    let all: Vec<String> = ids.values().flatten().cloned().collect();
    broker.wait_for(&all).await;
    // The first time each event was seen, in order: as committed, key by key.
    let mut seen = HashSet::new();
    let published = broker.0.lock().unwrap().events.clone();
    let firsts: Vec<_> = published.into_iter().filter(|event| seen.insert(event.id.clone())).collect();
    for (key, ids) in ids {
        let order: Vec<String> =
            firsts.iter().filter(|event| event.key == key).map(|event| event.id.clone()).collect();
        assert_eq!(order, ids);
    }
    let event = &firsts[0];
    assert_eq!((event.name.as_str(), event.workspace.as_str()), ("order.placed", WORKSPACE));
    assert_eq!((event.actor_user.as_str(), event.actor_service.as_str()), ("anna", "order"));
    assert!(event.trace.starts_with("00-") && event.message_type == "artel.order.v1.OrderPlaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_wants_is_noted_and_does_not_stop_the_others() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    broker.0.lock().unwrap().unroutable.insert("order.cancelled".into());
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let client = client(&service, WORKSPACE);
    let cancelled = OrderCancelled { order_id: "k".into(), ..OrderCancelled::default() };
    let request = CommitRequest { events: vec![happened(&cancelled)], ..CommitRequest::default() };
    let mut ids = client.send(request).await.unwrap().event_ids;
    ids.extend(client.send(placed("k")).await.unwrap().event_ids);
    broker.wait_for(&ids).await;
    let sql = "SELECT name FROM outbox WHERE unroutable";
    let superuser = database.superuser().await.unwrap();
    for _ in 0..100 {
        let rows = superuser.query(sql, &[]).await.unwrap();
        if let [row] = &rows[..] {
            assert_eq!(row.get::<_, String>(0), "order.cancelled");
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it was not noted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_dump_goes_on_where_it_was() {
    let database = TestDatabase::create().await.unwrap();
    let service = database.persist().await.unwrap();
    let ids = events(&client(&service, WORKSPACE), 50).await;
    // Transactions of another cluster's future; the first 20 were published there.
    let superuser = database.superuser().await.unwrap();
    superuser
        .batch_execute(
            "UPDATE outbox SET txid = txid + 1000000000;
             UPDATE relay r SET txid = o.txid, until = o.txid + 1, position = o.position
             FROM (SELECT txid, position FROM outbox ORDER BY txid, position OFFSET 19 LIMIT 1) o",
        )
        .await
        .unwrap();
    let rows =
        superuser.query("SELECT id::text FROM outbox ORDER BY txid, position OFFSET 20", &[]).await.unwrap();
    let open: HashSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let new = events(&client(&service, WORKSPACE), 50).await;
    let wanted: Vec<String> = open.iter().cloned().chain(new).collect();
    broker.wait_for(&wanted).await;
    assert_eq!((broker.ids().len(), ids.len()), (80, 50));
}

#[tokio::test]
async fn an_event_says_what_it_is_about() {
    let bench = Bench::new().await;
    let client = bench.client();
    let error = client.send(placed("")).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "events[0].body.orderId");
    let mut unknown = placed("k");
    unknown.events[0].r#type = "artel.order.v1.Order".into();
    assert_eq!(client.send(unknown).await.unwrap_err().fields()[0].field, "events[0].type");
    let mut broken = placed("k");
    broken.events[0].body = vec![0x0a, 0xff].into();
    assert_eq!(client.send(broken).await.unwrap_err().fields()[0].field, "events[0].body");
}
