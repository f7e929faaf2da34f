//! What a commit sends to PostgreSQL does not grow with what is in it.

use std::sync::atomic::Ordering;

use artel_config::Secret;
use artel_persist::testing::TestDatabase;
use artel_proto::catalog::Product;
use artel_proto::persist::CommitRequest;
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::support::*;
use crate::wire::Wire;

/// So many products are inserted and as many that are there are sold, each with an event.
fn batch(there: &[Product], count: usize) -> CommitRequest {
    let mut request = CommitRequest::default();
    for tea in &there[..count] {
        request.mutations.push(insert(&product("Чай", 1)));
        request.mutations.push(adjust::<Product>(&tea.id, "stock", -1, Some(0)));
        request.events.extend(placed(&tea.id).events);
    }
    request
}

/// Answers come so late that all that does not wait for one was sent before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_two_round_trips_however_much_is_in_it() {
    let database = TestDatabase::create().await.unwrap();
    let (wire, address) = Wire::to(database.address()).await;
    let mut settings = database.settings().unwrap();
    settings.set_database_url(Secret::new(database.url_at(&address, "artel")));
    let service = database.persist_with(&settings).await.unwrap();
    let client = client(&service, WORKSPACE);
    let there: Vec<Product> = (0..300).map(|_| product("Чай", 9)).collect();
    client.commit(there.iter().map(insert).collect()).await.unwrap();
    // The statements are prepared by now, each once.
    client.send(batch(&there, 1)).await.unwrap();
    wire.delay.store(300, Ordering::SeqCst);
    for count in [1, 300] {
        let before = wire.trips.load(Ordering::SeqCst);
        client.send(batch(&there, count)).await.unwrap();
        assert_eq!(wire.trips.load(Ordering::SeqCst) - before, 2, "{count}");
    }
    // Two that depend on each other's answers would be seen.
    let before = wire.trips.load(Ordering::SeqCst);
    client.send(batch(&there, 1)).await.unwrap();
    client.send(batch(&there, 1)).await.unwrap();
    assert_eq!(wire.trips.load(Ordering::SeqCst) - before, 4);
}

#[tokio::test]
async fn many_rows_of_an_entity_are_one_statement() {
    let bench = Bench::new().await;
    let client = bench.client();
    let there: Vec<Product> = (0..300).map(|_| product("Чай", 9)).collect();
    client.commit(there.iter().map(insert).collect()).await.unwrap();
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    client.send(batch(&there, 300)).await.unwrap();
    let page = recorder.handle().render();
    for name in ["products.insert", "products.update", "products.lock", "change_log.insert", "outbox.insert"]
    {
        let line = format!("artel_persist_statement_seconds_count{{statement=\"{name}\"}} 1");
        assert!(page.contains(&line), "{line} is not in\n{page}");
    }
}
