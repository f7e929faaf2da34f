//! Who comes while a group reads its rows joins it, and takes no other with it either.

use std::time::{Duration, Instant};

use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::catalog::Product;
use artel_proto::persist::{CommitRequest, CommitResponse};
use artel_util::Error;
use futures::future::join_all;
use tokio::task::JoinHandle;

use super::positions;
use crate::support::*;

/// A group of one that waits for its row, which somebody outside has locked.
struct Held {
    bench: Bench,
    client: Client,
    products: Vec<Product>,
    outside: tokio_postgres::Client,
    first: JoinHandle<Result<CommitResponse, Error>>,
}

fn take(product: &Product) -> CommitRequest {
    let mutations = vec![adjust::<Product>(&product.id, "stock", -1, Some(0)), insert(&fresh_order())];
    CommitRequest { mutations, ..CommitRequest::default() }
}

fn fresh_order() -> artel_proto::order::Order {
    order(&artel_util::new_id())
}

impl Held {
    async fn new() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mut settings = database.settings().unwrap();
        settings.set_commit_groups(1, 256);
        settings.set_commit_lock(30_000);
        let (service, _) = relaying(&settings, crate::broker::Nowhere).await.unwrap();
        let bench = Bench { database, service };
        let client = bench.client();
        let products: Vec<Product> = (0..8).map(|number| product(&format!("Чай {number}"), 10)).collect();
        client.commit(products.iter().map(insert).collect()).await.unwrap();
        let outside = bench.database.superuser().await.unwrap();
        lock(&outside, &products[0]).await;
        let (patient, request) = (client.clone(), take(&products[0]));
        let first = tokio::spawn(async move { patient.send(request).await });
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                       AND datname = current_database()";
        let begin = Instant::now();
        while outside.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(20), "nobody waits");
        }
        Self { bench, client, products, outside, first }
    }

    /// Sends these while the group waits, then lets it go on: what became of it and of them.
    async fn while_it_reads(
        self,
        requests: Vec<CommitRequest>,
    ) -> (Bench, CommitResponse, Vec<Result<CommitResponse, Error>>) {
        let Self { bench, client, outside, first, .. } = self;
        let sending = join_all(requests.into_iter().map(|request| client.send(request)));
        // On one thread: by the time the lock is gone, all have come.
        let (answers, _) = tokio::join!(sending, outside.batch_execute("COMMIT"));
        (bench, first.await.unwrap().unwrap(), answers)
    }
}

async fn lock(outside: &tokio_postgres::Client, product: &Product) {
    let sql = format!("BEGIN; SELECT 1 FROM products WHERE id = '{}' FOR UPDATE", product.id);
    outside.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn who_comes_while_a_group_reads_joins_it() {
    let held = Held::new().await;
    // Some want the group's row, others their own.
    let requests: Vec<CommitRequest> =
        [0, 1, 2, 0, 1, 3, 0, 4].iter().map(|at| take(&held.products[*at])).collect();
    let (bench, first, answers) = held.while_it_reads(requests).await;
    let answers: Vec<CommitResponse> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(positions(answers.iter().chain([&first])).len(), 1, "they were not done together");
    let versions: Vec<i64> = answers.iter().map(|answer| answer.results[0].version).collect();
    assert_eq!(versions, [3, 2, 2, 4, 3, 2, 5, 2], "not in the order of arrival");
    let superuser = bench.database.superuser().await.unwrap();
    let kept = "SELECT count(*) FROM orders JOIN change_log ON entity_id = id WHERE operation = 'insert'";
    assert_eq!(superuser.query_one(kept, &[]).await.unwrap().get::<_, i64>(0), 9);
}

#[tokio::test]
async fn who_joins_and_fails_takes_no_other_with_it() {
    let held = Held::new().await;
    let keyed = |product: &Product, key: &str, digest: &[u8]| CommitRequest {
        idempotency: once(key, digest, b"answer"),
        ..take(product)
    };
    let other = bench_copy(&held.bench).await;
    // Done by another copy before, so that its key is taken and the group does not know.
    let done = keyed(&held.products[6], "done", b"d");
    other.send(done.clone()).await.unwrap();
    let reused = keyed(&held.products[6], "done", b"e");
    let greedy = CommitRequest {
        mutations: vec![adjust::<Product>(&held.products[1].id, "stock", -11, Some(0))],
        idempotency: once("greedy", b"d", b"answer"),
        ..CommitRequest::default()
    };
    let mut taken = take(&held.products[2]);
    taken.mutations[1] = done.mutations[1].clone();
    let absent = CommitRequest {
        mutations: vec![adjust::<Product>(&artel_util::new_id(), "stock", -1, None)],
        ..CommitRequest::default()
    };
    let good = take(&held.products[1]);
    let requests = vec![done, reused, greedy.clone(), taken, absent, good];
    let product = held.products[1].id.clone();
    let (bench, _, answers) = held.while_it_reads(requests).await;
    assert!(answers[0].as_ref().unwrap().replayed);
    let reason = |at: usize| answers[at].as_ref().unwrap_err().reason().to_owned();
    assert_eq!(reason(1), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(answers[2].as_ref().unwrap_err().get("condition"), Some("floor"));
    assert_eq!((reason(3), reason(4)), ("UNIQUE_VIOLATION".to_owned(), "ROW_NOT_FOUND".to_owned()));
    assert!(answers[5].is_ok());
    let client = bench.client();
    assert_eq!(client.get::<Product>(&product).await.unwrap().stock, 9);
    // Its key stayed free.
    let again =
        client.send(CommitRequest { mutations: take(&product_of(&product)).mutations, ..greedy }).await;
    assert!(!again.unwrap().replayed);
}

#[tokio::test]
async fn a_key_of_the_turn_before_is_known_to_who_joins() {
    let held = Held::new().await;
    let done = CommitRequest { idempotency: once("before", b"d", b"answer"), ..take(&held.products[6]) };
    bench_copy(&held.bench).await.send(done.clone()).await.unwrap();
    let superuser = held.bench.database.superuser().await.unwrap();
    let turn = "UPDATE idempotency_turn SET time = time - interval '8 days' WHERE name = 'idempotency';
        SELECT artel_turn_keys('idempotency', interval '7 days')";
    superuser.batch_execute(turn).await.unwrap();
    let before = "SELECT count(*) FROM idempotency_before WHERE key = 'before'";
    assert_eq!(superuser.query_one(before, &[]).await.unwrap().get::<_, i64>(0), 1);

    let product = held.products[6].id.clone();
    let good = take(&held.products[1]);
    let (bench, _, answers) = held.while_it_reads(vec![good, done]).await;
    assert!(!answers[0].as_ref().unwrap().replayed);
    assert!(answers[1].as_ref().unwrap().replayed);
    assert_eq!(bench.client().get::<Product>(&product).await.unwrap().stock, 9);
}

/// A row that somebody outside has locked is not waited for by a group that others wait for.
#[tokio::test]
async fn who_would_wait_for_a_row_does_not_join() {
    let held = Held::new().await;
    let outside = held.bench.database.superuser().await.unwrap();
    lock(&outside, &held.products[1]).await;
    let (client, products) = (held.client.clone(), held.products.clone());
    let (later, request) = (client.clone(), take(&products[1]));
    let waits = tokio::spawn(async move { later.send(request).await });
    let requests = [2, 3].iter().map(|at| take(&products[*at])).collect();
    let (_bench, first, answers) = held.while_it_reads(requests).await;
    let answers: Vec<CommitResponse> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(positions(answers.iter().chain([&first])).len(), 1, "they were not done together");
    assert!(!waits.is_finished());
    outside.batch_execute("COMMIT").await.unwrap();
    assert_ne!(waits.await.unwrap().unwrap().position, first.position);
}

async fn bench_copy(bench: &Bench) -> Client {
    client(&bench.database.persist().await.unwrap(), WORKSPACE)
}

fn product_of(id: &str) -> Product {
    Product { id: id.to_owned(), ..Product::default() }
}
