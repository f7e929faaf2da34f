//! One trace from the request to the last listener, as a collector, the database and the metrics see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use artel_client::Trace;
use artel_discovery::Consul;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::json;
use tonic::{Request, Response, Status};

use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

/// A span as it arrived: whose, what, and what it is part of.
#[derive(Debug, Clone)]
struct Seen {
    service: String,
    name: String,
    trace: Vec<u8>,
    span: Vec<u8>,
    parent: Vec<u8>,
}

/// A collector, where the mesh's configuration says that there is one.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.into_iter().find(|attribute| attribute.key == "service.name");
            let service = match service.and_then(|service| service.value?.value) {
                Some(Any::StringValue(service)) => service,
                other => panic!("spans of nobody: {other:?}"),
            };
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            self.0.lock().unwrap().extend(spans.map(|span| Seen {
                service: service.clone(),
                name: span.name,
                trace: span.trace_id,
                span: span.span_id,
                parent: span.parent_span_id,
            }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_the_last_listener() {
    let mesh = Mesh::get();
    let collector = Collector::default();
    let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
    tokio::spawn(server.serve(mesh.place("otlp").parse().unwrap()));

    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Trace "), 100, 5).await;
    // A caller who collects its trace: the mesh goes on with it.
    let trace = Trace::start();
    let root = format!("00-{}-00f067aa0ba902b7-01", trace.id());
    let body = json!({"items": [{"productId": product, "quantity": 1}]});
    let request = mesh.http.post(format!("{}/api/v1/orders", mesh.api)).bearer_auth(&editor.token);
    let answer = request.header("traceparent", root).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());

    let wanted: BTreeSet<(&str, &str)> = [
        ("order", "artel.order.v1.OrderService/CreateOrder"),
        ("order", "artel.persist.v1.PersistService/Commit"),
        ("persist", "artel.persist.v1.PersistService/Commit"),
        ("persist", "order.placed"),
        ("notify", "order.placed"),
        ("notify", "artel.persist.v1.PersistService/Commit"),
    ]
    .into();
    let mut known = None;
    let spans = eventually("the spans of the whole way", PATIENCE * 2, async || {
        let spans: Vec<Seen> = collector.0.lock().unwrap().clone();
        let id = trace.number().to_be_bytes();
        let own: Vec<Seen> = spans.into_iter().filter(|span| span.trace == id).collect();
        let missing: BTreeSet<_> = wanted
            .iter()
            .copied()
            .filter(|(service, name)| !own.iter().any(|it| it.service == *service && it.name == *name))
            .collect();
        // The one that answers the caller, and the one around the call to the service; the checks that it asks for come beside them.
        let edge = own.iter().filter(|span| span.service == "envoy").count();
        // Shown when it fails.
        if known.replace(own.len()) != Some(own.len()) {
            println!("{} spans, {edge} of them Envoy's; missing: {missing:?}", own.len());
        }
        (missing.is_empty() && edge >= 2).then_some(own)
    })
    .await;

    // Each is part of another, up to the caller's own.
    let parents: BTreeMap<&[u8], &[u8]> =
        spans.iter().map(|span| (span.span.as_slice(), span.parent.as_slice())).collect();
    let caller = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes();
    for span in &spans {
        let mut at = span.span.as_slice();
        let mut steps = 0;
        while at != caller {
            steps += 1;
            assert!(steps < 20, "{span:?} goes round in circles");
            at = parents.get(at).copied().unwrap_or_else(|| panic!("{span:?} hangs in the air: {spans:#?}"));
        }
    }

    // The same id is in the change log, in the outbox, and beside the bucket that the request fell into.
    let (database, connection) =
        tokio_postgres::connect(mesh.place("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (table, column) in [("change_log", "trace"), ("outbox", "split_part(trace, '-', 2)")] {
        let text = format!("SELECT count(*) FROM {table} WHERE {column} = $1");
        let row = database.query_one(&text, &[&trace.id()]).await.unwrap();
        assert!(row.get::<_, i64>(0) > 0, "{table}");
    }
    let order = Consul::new(mesh.place("consul")).unwrap().instances("order").await.unwrap();
    let url = format!("http://{}/metrics", order[0].address);
    let page = mesh.http.get(url).header("accept", "application/openmetrics-text").send().await.unwrap();
    let page = page.text().await.unwrap();
    let exemplar = format!("# {{trace_id=\"{}\"}}", trace.id());
    assert!(
        page.lines().any(|line| line.starts_with("artel_request_seconds_bucket") && line.contains(&exemplar))
    );
    assert!(page.ends_with("# EOF\n"));
}
