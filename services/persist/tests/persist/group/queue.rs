//! The queue in front of the writers: what it takes, what it gives up, and how much of it becomes one group.

use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::testing::direct;
use artel_persist::testing::relaying;
use artel_proto::catalog::Product;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use futures::future::join_all;
use tonic::Code;

use super::{grouping, positions};
use crate::support::*;

#[tokio::test]
async fn a_group_is_what_waits_when_the_last_one_ends_and_is_bounded() {
    let bench = grouping(1, 8).await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    let take = || client.commit(vec![adjust::<Product>(&product.id, "stock", -1, Some(0))]);
    let answers: Vec<_> = join_all((0..20).map(|_| take())).await.into_iter().map(Result::unwrap).collect();
    let sizes: Vec<usize> = positions(&answers)
        .into_iter()
        .map(|position| answers.iter().filter(|answer| answer.position == position).count())
        .collect();
    assert_eq!(sizes, [8, 8, 4], "groups of another size");
    // Who comes while nobody waits is a group of its own: nobody waits for others to come.
    let (one, other) = (take().await.unwrap(), take().await.unwrap());
    assert_eq!(positions([&one, &other]).len(), 2);
}

#[tokio::test]
async fn a_commit_whose_time_is_up_before_its_turn_is_not_begun() {
    let bench = grouping(1, 256).await;
    let client = bench.client();
    let product = product("Чай", 100);
    client.commit(vec![insert(&product)]).await.unwrap();
    // The line is held up: its writer waits for this row.
    let mut superuser = bench.database.superuser().await.unwrap();
    let blocking = superuser.transaction().await.unwrap();
    blocking.execute("SELECT 1 FROM products FOR UPDATE", &[]).await.unwrap();
    let take = || vec![adjust::<Product>(&product.id, "stock", -1, None)];
    let (patient, mutations) = (client.clone(), take());
    let first = tokio::spawn(async move { patient.commit(mutations).await });
    let watcher = bench.database.superuser().await.unwrap();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                   AND datname = current_database()";
    let begin = Instant::now();
    while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "nobody waits");
    }
    let mut call = Call::by_service("order", WORKSPACE);
    call.deadline = Some(Instant::now() + Duration::from_millis(20));
    let hurried = Client { grpc: PersistServiceClient::new(direct(&bench.service, call)) };
    let error = hurried.commit(vec![insert(&order("late"))]).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    blocking.rollback().await.unwrap();
    first.await.unwrap().unwrap();
    client.commit(take()).await.unwrap();
    let late = "SELECT count(*) FROM orders";
    assert_eq!(watcher.query_one(late, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_queue_is_bounded_and_says_when_to_come_again() {
    let bench = Bench::new().await;
    let mut settings = bench.database.settings().unwrap();
    settings.set_commit_queue(10);
    let (service, _) = relaying(&settings, crate::broker::Nowhere).await.unwrap();
    let client = client(&service, WORKSPACE);
    let product = product("Чай", 1_000);
    client.commit(vec![insert(&product)]).await.unwrap();
    let take = || client.commit(vec![adjust::<Product>(&product.id, "stock", -1, None)]);
    let answers = join_all((0..30).map(|_| take())).await;
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (10, 20));
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "COMMIT_QUEUE_FULL"));
        assert_eq!(error.get("limit"), Some("persist.commit_queue"));
        assert!(error.is_transient() && error.message().contains("Try again"));
        // As RetryInfo: the error came over gRPC.
        assert!(
            error.wait().is_some_and(|wait| !wait.is_zero() && wait < Duration::from_secs(5)),
            "{error:?}"
        );
    }
    take().await.unwrap();
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 989);
}
