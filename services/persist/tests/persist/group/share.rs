//! What shares a transaction, and what a transaction that is shared does to nobody.

use std::time::{Duration, Instant};

use artel_proto::catalog::Product;
use artel_proto::persist::{CommitRequest, CommitResponse, Mutation};
use futures::future::join_all;

use super::positions;
use crate::support::*;

#[tokio::test]
async fn what_waits_shares_a_transaction_and_a_hot_row_is_written_once() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Последний", 40);
    client.commit(vec![insert(&product)]).await.unwrap();
    let take = || client.commit(vec![adjust::<Product>(&product.id, "stock", -1, Some(0))]);
    let answers = join_all((0..64).map(|_| take())).await;
    let (sold, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let sold: Vec<CommitResponse> = sold.into_iter().map(Result::unwrap).collect();
    assert_eq!((sold.len(), refused.len()), (40, 24));
    assert_eq!(positions(&sold).len(), 1, "no group was formed");
    let versions: Vec<i64> = sold.iter().map(|answer| answer.results[0].version).collect();
    assert_eq!(versions, (2..42).collect::<Vec<_>>(), "not in the order of arrival");
    assert!(refused.iter().all(|answer| answer.as_ref().unwrap_err().get("actual") == Some("0")));

    let superuser = bench.database.superuser().await.unwrap();
    let log = "SELECT string_agg((before->>'stock') || '>' || (after->>'stock'), ' ' ORDER BY position)
               FROM change_log WHERE operation = 'adjust'";
    let expected: Vec<String> = (0..40).rev().map(|left| format!("{}>{left}", left + 1)).collect();
    assert_eq!(superuser.query_one(log, &[]).await.unwrap().get::<_, String>(0), expected.join(" "));
    superuser.execute("SELECT pg_stat_force_next_flush()", &[]).await.unwrap();
    let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'products'";
    let begin = Instant::now();
    loop {
        // The writers' own session tells its count a moment later.
        let count: i64 = superuser.query_one(updates, &[]).await.unwrap().get(0);
        assert!(count <= 1, "the row was written {count} times");
        if count == 1 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no update was counted");
        client.get::<Product>(&product.id).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_takes_no_other_with_it() {
    let bench = Bench::new().await;
    let client = bench.client();
    client.commit(vec![insert(&order("taken"))]).await.unwrap();
    let missing = Product { category_id: artel_util::new_id(), ..product("Чай", 1) };
    let mut batches: Vec<Vec<Mutation>> =
        (0..30).map(|number| vec![insert(&order(&format!("A-{number}")))]).collect();
    batches[7] = vec![insert(&product("Кофе", 1)), insert(&order("taken"))];
    batches[20] = vec![insert(&missing)];
    let answers = join_all(batches.into_iter().map(|batch| client.commit(batch))).await;
    for (index, answer) in answers.iter().enumerate() {
        match index {
            7 => {
                let error = answer.as_ref().unwrap_err();
                assert_eq!((error.reason(), error.get("mutation")), ("UNIQUE_VIOLATION", Some("1")));
            }
            20 => assert_eq!(answer.as_ref().unwrap_err().get("condition"), Some("reference")),
            _ => assert!(answer.is_ok(), "{index}: {answer:?}"),
        }
    }
    assert!(positions(answers.iter().flatten()).len() < 15, "they were done one by one");
}

#[tokio::test]
async fn a_key_twice_in_one_group_is_answered_as_one_after_the_other() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 2);
    client.commit(vec![insert(&product)]).await.unwrap();
    let taking = |key: &str, digest: &[u8], amount: i64| CommitRequest {
        mutations: vec![adjust::<Product>(&product.id, "stock", -amount, Some(0))],
        idempotency: once(key, digest, b"answer"),
        ..CommitRequest::default()
    };
    let requests = [
        taking("a", b"d", 1),
        taking("a", b"d", 1),
        taking("a", b"other", 1),
        // The first of these fails and leaves the key free for the second, which is not refused by the digest.
        taking("b", b"d", 5),
        taking("b", b"other", 1),
        taking("b", b"other", 1),
    ];
    let answers = join_all(requests.map(|request| client.send(request))).await;
    assert!(!answers[0].as_ref().unwrap().replayed);
    assert!(answers[1].as_ref().unwrap().replayed);
    assert_eq!(answers[2].as_ref().unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(answers[3].as_ref().unwrap_err().get("condition"), Some("floor"));
    assert!(!answers[4].as_ref().unwrap().replayed && answers[5].as_ref().unwrap().replayed);
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 0);
}

#[tokio::test]
async fn workspaces_never_share_a_transaction() {
    let bench = Bench::new().await;
    let clients = [bench.client(), bench.client_in(OTHER)];
    let commits =
        (0..20).map(|number| clients[number % 2].commit(vec![insert(&order("A")), insert(&order("B"))]));
    let commits: Vec<_> = commits.collect();
    let answers = join_all(commits).await;
    let superuser = bench.database.superuser().await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    let mixed = "SELECT count(*) FROM (SELECT txid FROM change_log GROUP BY txid
                 HAVING count(DISTINCT workspace_id) > 1) t";
    assert_eq!(superuser.query_one(mixed, &[]).await.unwrap().get::<_, i64>(0), 0);
    let orders = "SELECT count(*) FROM change_log WHERE entity = 'artel.order.v1.Order'";
    assert_eq!(superuser.query_one(orders, &[]).await.unwrap().get::<_, i64>(0), 4);
}

/// Two processes on one database, each with its groups, on the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_persist_sell_the_last_ones_once() {
    let bench = Bench::new().await;
    let copies = [bench.client(), client(&bench.database.persist().await.unwrap(), WORKSPACE)];
    let products: Vec<Product> = (0..5).map(|number| product(&format!("Чай {number}"), 100)).collect();
    copies[0].commit(products.iter().map(insert).collect()).await.unwrap();
    let tasks = (0..64_usize).map(|worker| {
        let (client, products) = (copies[worker % 2].clone(), products.clone());
        tokio::spawn(async move {
            let mut sold = 0;
            for round in 0..10_usize {
                let mut batch: Vec<Mutation> = (0..3)
                    .map(|at| &products[(worker + round + at * (1 + worker % 2)) % 5].id)
                    .map(|id| adjust::<Product>(id, "stock", -1, Some(0)))
                    .collect();
                batch.push(insert(&order(&artel_util::new_id())));
                match client.commit(batch).await {
                    Ok(_) => sold += 3,
                    Err(error) => assert_eq!(error.get("condition"), Some("floor"), "{error:?}"),
                }
            }
            sold
        })
    });
    let sold: i32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    let ids: Vec<String> = products.iter().map(|product| product.id.clone()).collect();
    let left: Vec<Product> = copies[0].get_all(&ids).await;
    assert!(left.iter().all(|product| product.stock >= 0));
    assert_eq!(sold + left.iter().map(|product| product.stock).sum::<i32>(), 500);
    let versions: i64 = left.iter().map(|product| product.version - 1).sum();
    assert_eq!(versions, i64::from(sold), "a sale was lost or counted twice");
}
