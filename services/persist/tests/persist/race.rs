//! Nothing is sold twice, nothing stays unsold, and batches that cross each other all end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_proto::Entity;
use artel_proto::catalog::Product;
use futures::future::{join_all, try_join_all};
use tokio::sync::Barrier;

use crate::support::*;

const CLIENTS: usize = 64;
const LAST: i32 = 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ten_are_sold_to_ten_of_sixty_four() {
    let bench = Bench::new().await;
    let client = bench.client();
    for _ in 0..20 {
        let product = product("Последний", LAST);
        client.commit(vec![insert(&product)]).await.unwrap();
        let sold = race(&client, |client, barrier| {
            let take = adjust::<Product>(&product.id, "stock", -1, Some(0));
            async move {
                barrier.wait().await;
                match client.commit(vec![take]).await {
                    Ok(_) => true,
                    Err(error) => {
                        assert_eq!(error.get("condition"), Some("floor"), "{error:?}");
                        false
                    }
                }
            }
        })
        .await;
        assert_eq!((sold, client.get::<Product>(&product.id).await.unwrap().stock), (LAST as usize, 0));
    }
}

/// The negative control: the same race, but each reads the stock and writes what it makes of it. If this does not sell
/// too many, the race above proves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn read_then_write_sells_too_many() {
    let bench = Bench::new().await;
    let client = bench.client();
    for _ in 0..20 {
        let product = product("Последний", LAST);
        client.commit(vec![insert(&product)]).await.unwrap();
        let sold = race(&client, |client, barrier| {
            let id = product.id.clone();
            async move {
                barrier.wait().await;
                let mut seen: Product = client.get(&id).await.unwrap();
                if seen.stock == 0 {
                    return false;
                }
                seen.stock -= 1;
                client.commit(vec![update(&seen, &["stock"])]).await.is_ok()
            }
        })
        .await;
        if sold > LAST as usize {
            return;
        }
    }
    panic!("20 rounds of read-then-write sold no more than there was: this race would not show a fault");
}

async fn race<F: Future<Output = bool> + Send + 'static>(
    client: &Client,
    attempt: impl Fn(Client, Arc<Barrier>) -> F,
) -> usize {
    let barrier = Arc::new(Barrier::new(CLIENTS));
    let tasks = (0..CLIENTS).map(|_| tokio::spawn(attempt(client.clone(), Arc::clone(&barrier))));
    try_join_all(tasks).await.unwrap().into_iter().filter(|sold| *sold).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_cross_each_other_all_end() {
    let bench = Bench::new().await;
    let client = bench.client();
    let products: Vec<Product> = (0..6).map(|index| product(&format!("Чай {index}"), 1_000_000)).collect();
    client.commit(products.iter().map(insert).collect()).await.unwrap();
    let before = deadlocks(&bench).await;
    let tasks = (0..16_usize).map(|worker| {
        let (client, products) = (client.clone(), products.clone());
        tokio::spawn(async move {
            for round in 0..20_usize {
                let mut order: Vec<usize> = (0..products.len()).collect();
                order.rotate_left((worker + round) % products.len());
                if worker % 2 == 0 {
                    order.reverse();
                }
                // Two kinds of change, so that the rows of one batch are touched by several statements.
                let batch = order.iter().map(|index| {
                    if (index + worker) % 2 == 0 {
                        adjust::<Product>(&products[*index].id, "stock", -1, Some(0))
                    } else {
                        update(&products[*index], &["name"])
                    }
                });
                client.commit(batch.collect()).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(|result| result.unwrap());
    assert_eq!(deadlocks(&bench).await, before, "batches waited for each other in a circle");
    let ids: Vec<String> = products.iter().map(|product| product.id().to_owned()).collect();
    assert!(client.get_all::<Product>(&ids).await.iter().all(|product| product.version == 321));
}

/// Somebody outside who takes the rows the other way round: PostgreSQL ends one of the two, which is the commit, and the
/// caller does not hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_ended_in_a_deadlock_is_done_again() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut products = [product("Чай", 10), product("Кофе", 10)];
    products.sort_by(|one, other| one.id.cmp(&other.id));
    client.commit(products.iter().map(insert).collect()).await.unwrap();
    let before = deadlocks(&bench).await;
    let mut superuser = bench.database.superuser().await.unwrap();
    // It leaves it to the other to find the circle, who looks for one after a second.
    superuser.batch_execute("SET deadlock_timeout = '1h'").await.unwrap();
    let outside = superuser.transaction().await.unwrap();
    let take = "UPDATE products SET stock = stock - 3 WHERE id = $1::text::uuid";
    outside.execute(take, &[&products[1].id]).await.unwrap();
    let (committing, batch) = (client.clone(), products.clone());
    let commit = tokio::spawn(async move {
        let take = |product: &Product| adjust::<Product>(&product.id, "stock", -1, Some(0));
        committing.commit(batch.iter().map(take).collect()).await
    });
    // By now it waits aside, for as long as it may, and holds the first row.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '300 ms'";
    let watcher = bench.database.superuser().await.unwrap();
    let begin = Instant::now();
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "nobody waits for the row");
    }
    // Ends when the commit has lost the first row.
    outside.execute(take, &[&products[0].id]).await.unwrap();
    outside.commit().await.unwrap();
    commit.await.unwrap().unwrap();
    let ids: Vec<String> = products.iter().map(|product| product.id.clone()).collect();
    let left: Vec<i32> = client.get_all::<Product>(&ids).await.iter().map(|product| product.stock).collect();
    assert_eq!(left, [6, 6]);
    let begin = Instant::now();
    while deadlocks(&bench).await == before {
        assert!(begin.elapsed() < Duration::from_secs(20), "there was no deadlock: nothing was shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn deadlocks(bench: &Bench) -> i64 {
    let client = bench.database.superuser().await.unwrap();
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    client.query_one(sql, &[]).await.unwrap().get(0)
}
