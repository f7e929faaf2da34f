//! PostgreSQL away, slow, or lost in the middle of a commit.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_config::Secret;
use artel_handle::Service;
use artel_handle::testing::direct;
use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::catalog::Product;
use artel_proto::order::OrderPlaced;
use artel_proto::persist::{CommitRequest, GetRequest, QueryRequest};
use artel_util::new_id;
use futures::StreamExt as _;
use tonic::Code;

use crate::broker::Memory;
use crate::support::*;
use crate::wire::Wire;

async fn wired() -> (TestDatabase, Wire, Service, Memory) {
    let database = TestDatabase::create().await.unwrap();
    let (wire, address) = Wire::to(database.address()).await;
    let mut settings = database.settings().unwrap();
    settings.set_database_url(Secret::new(database.url_at(&address, "artel")));
    settings.set_system_url(Secret::new(database.url_at(&address, "artel_system")));
    let broker = Memory::default();
    let (service, _) = relaying(&settings, broker.clone()).await.unwrap();
    (database, wire, service, broker)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_connection_dies_after_it_was_sent_is_resolved() {
    let (_database, wire, service, broker) = wired().await;
    let client = client(&service, WORKSPACE);
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    for (round, keyed) in [true, false, true, false].into_iter().enumerate() {
        let event = OrderPlaced { order_id: "k".into(), ..OrderPlaced::default() };
        let request = CommitRequest {
            mutations: vec![
                insert(&order(&format!("A-{round}"))),
                adjust::<Product>(&product.id, "stock", -1, Some(0)),
            ],
            events: vec![happened(&event)],
            idempotency: if keyed { once(&format!("k{round}"), b"d", b"answer") } else { None },
        };
        wire.cut_at_commit.store(true, Ordering::SeqCst);
        let answer = client.send(request.clone()).await.unwrap();
        assert!(!wire.cut_at_commit.load(Ordering::SeqCst), "the connection was not cut");
        // As if nothing had happened: this was the commit that counted.
        let version = i64::try_from(round).unwrap() + 2;
        assert_eq!(answer.results.iter().map(|result| result.version).collect::<Vec<_>>(), [1, version]);
        assert!(!answer.replayed && answer.event_ids.len() == 1 && answer.position > 0);
        let read: Product = client.get(&product.id).await.unwrap();
        assert_eq!((read.stock, read.version), (100 - i32::try_from(round).unwrap() - 1, version));
        broker.wait_for(&answer.event_ids).await;
        if keyed {
            assert!(client.send(request).await.unwrap().replayed);
        }
    }
}

/// Of a group whose connection dies each commit is done once and answered with what is its own, wherever it dies.
#[tokio::test]
async fn a_group_whose_connection_dies_is_resolved_for_each() {
    let (database, wire, service, broker) = wired().await;
    let client = client(&service, WORKSPACE);
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    for (round, cut) in [&wire.cut_at_commit, &wire.cut_at_keys, &wire.cut_at_commit].into_iter().enumerate()
    {
        let request = |number: usize| {
            // One of them is refused, and two have no key.
            let floor = if number == 3 { 1_000 } else { 0 };
            let event = OrderPlaced { order_id: format!("k{number}"), ..OrderPlaced::default() };
            CommitRequest {
                mutations: vec![
                    adjust::<Product>(&product.id, "stock", -1, Some(floor)),
                    insert(&order(&format!("A-{round}-{number}"))),
                ],
                events: vec![happened(&event)],
                idempotency: if number < 7 {
                    once(&format!("{round}/{number}"), b"d", b"answer")
                } else {
                    None
                },
            }
        };
        cut.store(true, Ordering::SeqCst);
        let requests: Vec<CommitRequest> = (0..9).map(request).collect();
        let answers =
            futures::future::join_all(requests.iter().map(|request| client.send(request.clone()))).await;
        assert!(!cut.load(Ordering::SeqCst), "the connection was not cut");
        let base = i64::try_from(round).unwrap() * 8 + 2;
        let mut positions = std::collections::BTreeSet::new();
        let mut versions = Vec::new();
        for (number, answer) in answers.iter().enumerate() {
            if number == 3 {
                assert_eq!(answer.as_ref().unwrap_err().get("condition"), Some("floor"));
                continue;
            }
            let answer = answer.as_ref().unwrap();
            assert!(!answer.replayed && answer.event_ids.len() == 1);
            positions.insert(answer.position);
            versions.push(answer.results[0].version);
            broker.wait_for(&answer.event_ids).await;
        }
        assert_eq!((positions.len(), versions), (1, (base..base + 8).collect::<Vec<_>>()));
        for (number, request) in requests.into_iter().enumerate().take(7) {
            let again = client.send(request).await;
            if number == 3 {
                // What was refused left its key free.
                assert_eq!(again.unwrap_err().get("condition"), Some("floor"));
            } else {
                assert!(again.unwrap().replayed);
            }
        }
    }
    let read: Product = client.get(&product.id).await.unwrap();
    assert_eq!((read.stock, read.version), (76, 25));
    let superuser = database.superuser().await.unwrap();
    let orders: i64 = superuser.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0);
    assert_eq!(orders, 24);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgresql_is_away_callers_are_told_at_once_and_then_it_goes_on() {
    let (_database, wire, service, broker) = wired().await;
    let client = client(&service, WORKSPACE);
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    wire.cut.store(true, Ordering::SeqCst);
    let get = GetRequest {
        entity: "artel.catalog.v1.Product".into(),
        ids: vec![product.id.clone()],
        ..Default::default()
    };
    // The first may still have to find out.
    assert_eq!(client.grpc.clone().get(get.clone()).await.unwrap_err().code(), Code::Unavailable);
    let started = Instant::now();
    for _ in 0..100 {
        let error = answer(client.grpc.clone().get(get.clone()).await).unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, "DATABASE_AWAY"));
        let error = client.commit(vec![adjust::<Product>(&product.id, "stock", -1, None)]).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
    }
    assert!(started.elapsed() < Duration::from_secs(2), "callers waited {:?}", started.elapsed());
    wire.cut.store(false, Ordering::SeqCst);
    for _ in 0..200 {
        if client.grpc.clone().get(get.clone()).await.is_ok() {
            broker.wait_for(&client.send(placed("k")).await.unwrap().event_ids).await;
            assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 100);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it did not recover");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_ending_its_sessions_costs_no_call() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    let superuser = bench.database.superuser().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 1..=5 {
        superuser.execute(end, &[]).await.unwrap();
        client.commit(vec![adjust::<Product>(&product.id, "stock", -1, None)]).await.unwrap();
        superuser.execute(end, &[]).await.unwrap();
        assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 100 - round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_deadline_bounds_the_statement() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    let mut superuser = bench.database.superuser().await.unwrap();
    let blocking = superuser.transaction().await.unwrap();
    blocking.execute("SELECT 1 FROM products FOR UPDATE", &[]).await.unwrap();
    let mut call = Call::by_service("order", WORKSPACE);
    call.deadline = Some(Instant::now() + Duration::from_millis(300));
    let mut hurried = artel_proto::persist::persist_service_client::PersistServiceClient::new(direct(
        &bench.service,
        call.clone(),
    ));
    let take = || CommitRequest {
        mutations: vec![adjust::<Product>(&product.id, "stock", -1, None)],
        ..CommitRequest::default()
    };
    let started = Instant::now();
    let error = answer(hurried.commit(take()).await).unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(2));
    // Its time is up: nothing is begun any more.
    assert_eq!(answer(hurried.commit(take()).await).unwrap_err().code(), Code::DeadlineExceeded);
    blocking.rollback().await.unwrap();
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_does_not_wait_for_a_connection_for_long() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    // Counting takes a connection of its own.
    let count = QueryRequest {
        entity: "artel.catalog.v1.Product".into(),
        with_total: true,
        ..QueryRequest::default()
    };
    let superuser = bench.database.superuser().await.unwrap();
    superuser.batch_execute("BEGIN; LOCK TABLE products").await.unwrap();
    // As many as there are connections hang on the table, and one more.
    let hanging = (0..17).map(|_| {
        let (client, count) = (client.clone(), count.clone());
        tokio::spawn(async move { answer(client.grpc.clone().query(count).await) })
    });
    let mut hanging: futures::stream::FuturesUnordered<_> = hanging.collect();
    let first = tokio::time::timeout(Duration::from_secs(8), hanging.next()).await.unwrap().unwrap();
    let error = first.unwrap().unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "POOL_EXHAUSTED"));
    superuser.batch_execute("COMMIT").await.unwrap();
    let mut served = 0;
    while let Some(got) = hanging.next().await {
        match got.unwrap() {
            Ok(page) => {
                assert_eq!(page.items.len(), 1);
                served += 1;
            }
            // Where connections open slowly, more than one may have waited for one in vain.
            Err(error) => assert_eq!(error.reason(), "POOL_EXHAUSTED"),
        }
    }
    assert!(served > 0, "what hung was answered when it could be");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_wait_for_a_row_hold_up_nobody_else() {
    let bench = Bench::new().await;
    let client = bench.client();
    let (locked, free) = (product("Чай", 100), product("Кофе", 100));
    client.commit(vec![insert(&locked), insert(&free)]).await.unwrap();
    let mut superuser = bench.database.superuser().await.unwrap();
    let blocking = superuser.transaction().await.unwrap();
    let lock = "SELECT 1 FROM products WHERE id = $1::text::uuid FOR UPDATE";
    blocking.execute(lock, &[&locked.id]).await.unwrap();
    // More than there are connections.
    let hanging = (0..40).map(|_| {
        let (client, take) = (client.clone(), adjust::<Product>(&locked.id, "stock", -1, None));
        tokio::spawn(async move { client.commit(vec![take]).await })
    });
    let hanging: Vec<_> = hanging.collect();
    let begin = Instant::now();
    for left in (0..20).rev() {
        client.commit(vec![adjust::<Product>(&free.id, "stock", -5, Some(0))]).await.unwrap();
        assert_eq!(client.get::<Product>(&free.id).await.unwrap().stock, left * 5);
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "they were held up for {:?}", begin.elapsed());
    assert!(hanging.iter().all(|commit| !commit.is_finished()));
    blocking.rollback().await.unwrap();
    for commit in hanging {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(client.get::<Product>(&locked.id).await.unwrap().stock, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_leaves_no_transaction_behind() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 1_000);
    client.commit(vec![insert(&product)]).await.unwrap();
    for round in 0..50_u64 {
        let (client, take) = (client.clone(), adjust::<Product>(&product.id, "stock", -1, None));
        let task = tokio::spawn(async move { client.commit(vec![take, insert(&order(&new_id()))]).await });
        tokio::time::sleep(Duration::from_micros(round * 37)).await;
        task.abort();
        let _ = task.await;
    }
    let superuser = bench.database.superuser().await.unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    for _ in 0..100 {
        if superuser.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            // Each was done whole or not at all.
            let sold = 1_000 - client.get::<Product>(&product.id).await.unwrap().stock;
            let orders: i64 = superuser.query_one("SELECT count(*) FROM orders", &[]).await.unwrap().get(0);
            assert_eq!(i64::from(sold), orders);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("transactions were left open");
}
