//! What persist tells of its statements.

use std::collections::BTreeSet;

use artel_proto::Entity as _;
use artel_proto::catalog::Product;
use artel_proto::persist::{AggregateRequest, CommitRequest, Measure, MeasureKind, QueryRequest};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use crate::support::*;

/// The statements that were measured.
fn measured(recorder: &PrometheusRecorder) -> BTreeSet<String> {
    let page = recorder.handle().render();
    let counts = page.lines().filter_map(|line| line.strip_prefix("artel_persist_statement_seconds_count{"));
    counts.map(|labels| labels.split('"').nth(1).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_statement_is_measured_under_a_name_that_is_one_of_few() {
    let bench = Bench::new().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let client = bench.client();
    let product = product("Чай", 5);
    let mut batch = placed("k");
    batch.mutations.push(insert(&product));
    batch.idempotency = once("k", b"d", b"a");
    client.send(batch).await.unwrap();
    client.commit(vec![adjust::<Product>(&product.id, "stock", -1, Some(0))]).await.unwrap();
    client.commit(vec![update(&product, &["name"])]).await.unwrap();
    assert!(client.commit(vec![insert(&product)]).await.is_err());
    client.get::<Product>(&product.id).await.unwrap();
    let query = QueryRequest { entity: Product::NAME.into(), ..QueryRequest::default() };
    client.page::<Product>(query.clone()).await;
    client.page::<Product>(QueryRequest { with_total: true, search: "чай".into(), ..query.clone() }).await;
    let measures = vec![Measure { kind: MeasureKind::Count.into(), field: String::new() }];
    let aggregate =
        AggregateRequest { entity: Product::NAME.into(), measures, ..AggregateRequest::default() };
    answer(client.grpc.clone().aggregate(aggregate).await).unwrap();

    let names = measured(&recorder);
    for name in [
        "idempotency.insert",
        "outbox.insert",
        "outcome.insert",
        "products.aggregate",
        "products.count",
        "products.get",
        "products.page",
        "products.query",
        "transaction.commit",
        "transaction.settings",
    ] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    assert!(!names.contains("unnamed"), "{names:?}");
    // A name says what is done, not with what: other words, other names of none.
    for word in ["кофе", "сахар", "вода -чай"] {
        let search = QueryRequest { search: word.into(), page_size: 7, ..query.clone() };
        client.page::<Product>(search).await;
    }
    assert_eq!(measured(&recorder), names);
    // What failed is counted by its kind; so is what another's rule refused.
    let page = recorder.handle().render();
    let failed = page.lines().find(|line| line.starts_with("artel_persist_statement_errors_total{"));
    assert!(failed.is_some_and(|line| line.contains("kind=\"")), "{page}");
}

/// How many statements were run.
fn statements(recorder: &PrometheusRecorder) -> u64 {
    let page = recorder.handle().render();
    let counts = page.lines().filter(|line| line.starts_with("artel_persist_statement_seconds_count{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// All statements of a commit are sent in two goes, so as many statements are as many round trips.
#[tokio::test]
async fn a_batch_of_hundreds_takes_as_many_statements_as_one_of_few() {
    let bench = Bench::new().await;
    let client = bench.client();
    let products: Vec<_> = (0..200).map(|number| product(&format!("Чай {number}"), 9)).collect();
    client.commit(products.iter().map(insert).collect()).await.unwrap();
    let mut counts = Vec::new();
    for count in [1, 200] {
        let recorder = PrometheusBuilder::new().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let mut batch = CommitRequest::default();
        for (number, product) in products.iter().take(count).enumerate() {
            let number = format!("{count}-{number}");
            batch.mutations.push(adjust::<Product>(&product.id, "stock", -1, Some(0)));
            batch.mutations.push(insert(&order(&number)));
            batch.events.extend(placed(&number).events);
        }
        let answer = client.send(batch).await.unwrap();
        assert_eq!((answer.results.len(), answer.event_ids.len()), (2 * count, count));
        counts.push(statements(&recorder));
    }
    assert!(counts[0] > 0 && counts[0] == counts[1], "statements: {counts:?}");
}
