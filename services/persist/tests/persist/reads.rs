//! Short reads share connections: what each of them sees, and what a slow one does to the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::testing::direct;
use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::Entity as _;
use artel_proto::catalog::Product;
use artel_proto::order::Order;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{GetRequest, Order as By, QueryRequest};
use artel_util::new_id;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tonic::Code;

use crate::broker::Nowhere;
use crate::support::*;

/// How much later things may happen on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// Persist whose short reads share one connection.
async fn bench(read_ms: u64) -> Bench {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.share_reads(1, 10_000, read_ms);
    let (service, _) = relaying(&settings, Nowhere).await.unwrap();
    Bench { database, service }
}

/// Reads that had to go another way, and why.
fn refused(recorder: &PrometheusRecorder) -> String {
    let page = recorder.handle().render();
    page.lines().filter(|line| line.contains("shared_reads_refused_total{")).collect()
}

#[tokio::test]
async fn reads_of_many_workspaces_share_a_connection_and_see_their_own_rows() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let bench = bench(5_000).await;
    // The same keys in every workspace.
    let ids: Vec<String> = (0..5).map(|_| new_id()).collect();
    let workspaces: Vec<String> = (1..=20).map(|n| format!("00000000-0000-7000-8000-{n:012}")).collect();
    for workspace in &workspaces {
        let own = |id: &String| Product { id: id.clone(), name: workspace.clone(), ..product("", 1) };
        bench.client_in(workspace).commit(ids.iter().map(|id| insert(&own(id))).collect()).await.unwrap();
    }
    let clients: Arc<Vec<Client>> = Arc::new(workspaces.iter().map(|name| bench.client_in(name)).collect());
    let reads = (0..2_000_usize).map(|index| {
        let (clients, workspace) = (Arc::clone(&clients), index * 7 % workspaces.len());
        let (ids, own) = (ids.clone(), workspaces[workspace].clone());
        tokio::spawn(async move {
            let client = &clients[workspace];
            let seen = match index % 3 {
                0 => client.get_all::<Product>(&ids[..1]).await,
                1 => client.get_all::<Product>(&ids).await,
                _ => {
                    let order_by = vec![By { field: "name".into(), descending: true }];
                    let query = QueryRequest { entity: Product::NAME.into(), order_by, ..Default::default() };
                    client.page(query).await
                }
            };
            assert_eq!(seen.len(), if index % 3 == 0 { 1 } else { 5 });
            assert!(seen.iter().all(|product| product.name == own), "{own} sees {seen:?}");
        })
    });
    for read in reads.collect::<Vec<_>>() {
        read.await.unwrap();
    }
    assert_eq!(refused(&recorder), "", "not all went over the shared connection");
}

#[tokio::test]
async fn a_slow_read_holds_up_nobody_and_is_done_by_itself() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let bench = bench(50).await;
    let client = bench.client();
    let (product, order) = (product("Чай", 5), order("A-1"));
    client.commit(vec![insert(&product), insert(&order)]).await.unwrap();
    client.get::<Product>(&product.id).await.unwrap();

    let superuser = bench.database.superuser().await.unwrap();
    superuser.batch_execute("BEGIN; LOCK TABLE products").await.unwrap();
    let begin = Instant::now();
    let slow = {
        let (client, id) = (client.clone(), product.id.clone());
        tokio::spawn(async move { client.get::<Product>(&id).await })
    };
    // Others behind it are answered.
    for _ in 0..50 {
        assert_eq!(client.get::<Order>(&order.id).await.unwrap().number, "A-1");
    }
    assert!(begin.elapsed() < SLACK, "the others waited {:?}", begin.elapsed());
    assert!(!slow.is_finished());
    while !refused(&recorder).contains("slow") {
        assert!(begin.elapsed() < SLACK, "it stays on the shared connection");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another statement, in a hurry: its caller is answered in time, before PostgreSQL has stopped it.
    let mut call = Call::by_service("order", WORKSPACE);
    call.deadline = Some(Instant::now() + Duration::from_millis(20));
    let mut hurried = PersistServiceClient::new(direct(&bench.service, call));
    let get = GetRequest {
        entity: Product::NAME.into(),
        ids: vec![product.id.clone(), new_id()],
        ..Default::default()
    };
    assert_eq!(answer(hurried.get(get).await).unwrap_err().code(), Code::DeadlineExceeded);
    superuser.batch_execute("COMMIT").await.unwrap();
    assert_eq!(slow.await.unwrap().unwrap().name, "Чай");
    // It is not tried there again for a while.
    client.get::<Product>(&product.id).await.unwrap();
    assert!(refused(&recorder).contains("unfit"), "{}", refused(&recorder));
}

#[tokio::test]
async fn a_shared_connection_that_is_lost_costs_no_read_and_comes_back() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let bench = bench(5_000).await;
    let client = bench.client();
    let product = product("Чай", 5);
    client.commit(vec![insert(&product)]).await.unwrap();
    let superuser = bench.database.superuser().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        superuser.execute(end, &[]).await.unwrap();
        client.get::<Product>(&product.id).await.unwrap();
    }
    let begin = Instant::now();
    loop {
        let before = refused(&recorder);
        client.get::<Product>(&product.id).await.unwrap();
        if refused(&recorder) == before {
            break;
        }
        assert!(begin.elapsed() < SLACK, "it does not come back: {before}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!refused(&recorder).is_empty(), "nothing was lost");
}
