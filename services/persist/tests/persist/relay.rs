//! The relay skips nothing, keeps the order of each key, and goes on after whatever happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use artel_handle::CancellationToken;
use artel_persist::testing::{TestDatabase, relaying, relaying_until};
use artel_proto::order::OrderCancelled;
use artel_proto::persist::CommitRequest;
use artel_util::new_id;
use futures::future::try_join_all;

use crate::broker::{Memory, Slow};
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

/// By hand, in a transaction of the test's own.
const TOLD: &str = "INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace)
    VALUES ($1::text::uuid, $2::text::uuid, 'artel.order.v1.OrderPlaced', 'order.placed', $3, '', '', '', '')";

/// The event of a transaction that commits long after a thousand others were published is published too, and those do
/// not wait for it. Beside it the naive way, "greater than the last one seen", which loses it: without that this would
/// prove nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_commits_late_is_not_skipped_and_holds_nobody_up() {
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
    transaction.execute(TOLD, &[&late, &WORKSPACE, &"k"]).await.unwrap();

    let started = std::time::Instant::now();
    let mut ids = events(&client, 1_000).await;
    look().await;
    broker.wait_for(&ids).await;
    // Held for 5 s, as a slow transaction may.
    tokio::time::sleep(Duration::from_secs(5).saturating_sub(started.elapsed())).await;
    assert!(!broker.ids().contains(&late));
    transaction.commit().await.unwrap();
    ids.push(late.clone());
    broker.wait_for(&ids).await;
    assert!(!look().await.contains(&late), "the naive way did not skip: this test would not show a fault");
    let published = broker.ids();
    assert_eq!(published.len(), published.iter().collect::<HashSet<_>>().len(), "published twice");
}

/// Of three transactions, the first number changes a row after the third did, while the second still runs. Windows that
/// end at the oldest running transaction, read beside it, hold only the first then, and the order is lost.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_row_keep_the_order_in_which_it_changed() {
    let database = TestDatabase::create().await.unwrap();
    let (settings, broker) = (database.settings().unwrap(), Memory::default());
    let stop = CancellationToken::new();
    let (service, relay) = relaying_until(stop.clone(), &settings, broker.clone()).await.unwrap();
    let mut ids = events(&client(&service, WORKSPACE), 50).await;
    broker.wait_for(&ids).await;

    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(database.superuser().await.unwrap());
    }
    let [first, second, third] = &mut connections[..] else { panic!() };
    let first = first.transaction().await.unwrap();
    let one = txid(&first).await;
    let second = second.transaction().await.unwrap();
    let two = txid(&second).await;
    let third = third.transaction().await.unwrap();
    let three = txid(&third).await;
    assert!(one < two && two < three);
    let (before, after, last) = (new_id(), new_id(), new_id());
    third.execute(TOLD, &[&before, &WORKSPACE, &"row"]).await.unwrap();
    third.commit().await.unwrap();
    first.execute(TOLD, &[&after, &WORKSPACE, &"row"]).await.unwrap();
    first.commit().await.unwrap();
    ids.extend([before.clone(), after.clone()]);
    broker.wait_for(&ids).await;
    assert_eq!(broker.ids()[50..], [before.clone(), after.clone()]);

    let windows =
        "SELECT id::text FROM outbox WHERE key = 'row' AND txid >= $1 AND txid < $2 ORDER BY position";
    let superuser = database.superuser().await.unwrap();
    let mut torn: Vec<String> = Vec::new();
    for (from, until) in [(0, two), (two, i64::MAX)] {
        let rows = superuser.query(windows, &[&from, &until]).await.unwrap();
        torn.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    assert_eq!(torn, [after, before], "windows of numbers keep the order: this test would not show a fault");

    // Another copy goes on from what was written down: the second was still running then.
    stop.cancel();
    relay.await.unwrap();
    second.execute(TOLD, &[&last, &WORKSPACE, &"row"]).await.unwrap();
    second.commit().await.unwrap();
    let (_service, _relay) = relaying(&settings, broker.clone()).await.unwrap();
    broker.wait_for(std::slice::from_ref(&last)).await;
    assert_eq!(broker.ids().len(), 53, "published twice");
    assert_eq!(broker.ids()[52], last);
}

/// Transactions that overlap in every way, each of which has its row when it tells of it, while relays die in the middle
/// of what they do.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_overlaps_and_whoever_dies_the_order_of_each_row_holds() {
    const WRITERS: u64 = 12;
    const EACH: u64 = 60;
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    // Small pages, so that windows are broken off within.
    settings.set_relay_batch(7);
    let broker = Memory::default();
    let writing = Arc::new(AtomicBool::new(true));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mut connection = database.superuser().await.unwrap();
        writers.push(tokio::spawn(async move {
            for turn in 0..EACH {
                let (row, pause) = ((turn * 7 + writer) % 5, (turn * 5 + writer * 3) % 4);
                let transaction = connection.transaction().await.unwrap();
                // Its number comes first, the row later, and the end later still.
                transaction.execute("SELECT pg_current_xact_id()", &[]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(pause)).await;
                transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&(row as i64)]).await.unwrap();
                let key = format!("row {row}");
                transaction.execute(TOLD, &[&new_id(), &WORKSPACE, &key]).await.unwrap();
                transaction.commit().await.unwrap();
            }
        }));
    }
    let relays = {
        let (writing, broker) = (Arc::clone(&writing), broker.clone());
        tokio::spawn(async move {
            while writing.load(Ordering::Relaxed) {
                let (_service, relay) = relaying(&settings, broker.clone()).await.unwrap();
                let before = broker.ids().len();
                while broker.ids().len() < before + 40 && writing.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                relay.abort();
                let _ = relay.await;
            }
            relaying(&settings, broker).await.unwrap()
        })
    };
    for writer in writers {
        writer.await.unwrap();
    }
    writing.store(false, Ordering::Relaxed);
    let _last = relays.await.unwrap();

    let happened = by_key(&database.superuser().await.unwrap()).await;
    let all: Vec<String> = happened.values().flatten().cloned().collect();
    assert_eq!(all.len() as u64, WRITERS * EACH);
    broker.wait_for(&all).await;
    let (mut seen, mut told) = (HashSet::new(), BTreeMap::<String, Vec<String>>::new());
    for event in &broker.0.lock().unwrap().events {
        if seen.insert(event.id.clone()) {
            told.entry(event.key.clone()).or_default().push(event.id.clone());
        }
    }
    assert_eq!(told, happened);
}

/// Pages follow each other without waiting for confirms, but none follows one that has events of the same key: what is
/// refused there would come after what happened later.
#[tokio::test(flavor = "multi_thread")]
async fn pages_are_on_their_way_together_but_never_two_with_one_key() {
    let database = TestDatabase::create().await.unwrap();
    let (mut settings, broker) = (database.settings().unwrap(), Slow::default());
    settings.set_relay_batch(5);
    let postgres = database.superuser().await.unwrap();
    let mut all = Vec::new();
    for number in 0..400 {
        // Long ways without a key that comes again, and short ones with little else.
        let key =
            if number % 100 < 60 { format!("key {}", number % 37) } else { format!("hot {}", number % 3) };
        all.push(new_id());
        postgres.execute(TOLD, &[&all[number], &WORKSPACE, &key]).await.unwrap();
    }
    let (_service, _relay) = relaying(&settings, broker.clone()).await.unwrap();
    broker.ledger.wait_for(&all).await;
    {
        let way = broker.way.lock().unwrap();
        assert!(way.most > 1, "pages wait for each other");
        assert!(!way.met, "events of one key were on their way in two pages");
    }
    let (mut seen, mut told) = (HashSet::new(), BTreeMap::<String, Vec<String>>::new());
    for event in &broker.ledger.0.lock().unwrap().events {
        if seen.insert(event.id.clone()) {
            told.entry(event.key.clone()).or_default().push(event.id.clone());
        }
    }
    assert_eq!(told, by_key(&postgres).await);
}

/// The events of each key, in the order in which they happened.
async fn by_key(postgres: &tokio_postgres::Client) -> BTreeMap<String, Vec<String>> {
    let mut happened = BTreeMap::<String, Vec<String>>::new();
    for row in postgres.query("SELECT key, id::text FROM outbox ORDER BY position", &[]).await.unwrap() {
        happened.entry(row.get(0)).or_default().push(row.get(1));
    }
    happened
}

/// A cursor and a replay of a version that had no snapshots are gone on from.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_from_before_the_snapshots_is_gone_on_from() {
    let database = TestDatabase::before("0009_relay").await.unwrap();
    let postgres = database.superuser().await.unwrap();
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(new_id());
        postgres.execute(TOLD, &[&ids[number], &WORKSPACE, &format!("key {number}")]).await.unwrap();
    }
    // Ten are published as a whole, and five of the window behind.
    postgres
        .batch_execute(
            "UPDATE relay SET txid = o.txid + 1, until = (SELECT max(txid) + 1 FROM outbox),
                position = (SELECT position FROM outbox ORDER BY position OFFSET 14 LIMIT 1)
             FROM (SELECT txid FROM outbox ORDER BY position OFFSET 9 LIMIT 1) o;
             INSERT INTO replay (id, service, events, start_time, end_time, force, before_txid, found, actor_user,
                actor_service)
             SELECT gen_random_uuid(), 'late', '{order.placed}', '-infinity', 'infinity', false, min(txid), 10, '', ''
             FROM relay",
        )
        .await
        .unwrap();
    database.migrate().await.unwrap();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    ids.extend(events(&client(&service, WORKSPACE), 50).await);
    broker.wait_for(&ids[15..]).await;
    let (published, open) = (broker.ids(), ids[15..].to_vec());
    assert_eq!(published.len(), open.len(), "what was published before is published again");
    assert_eq!(published[..25], open[..25], "in order");
    let sql = "SELECT count(*) FROM outbox o, replay r WHERE
        pg_visible_in_snapshot(o.txid::text::xid8, r.published::pg_snapshot)";
    assert_eq!(postgres.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 10);
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
             UPDATE relay r SET oldest = o.txid, since = format('%1$s:%1$s:', o.txid),
                until = format('%1$s:%1$s:', o.txid + 1), position = o.position
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
