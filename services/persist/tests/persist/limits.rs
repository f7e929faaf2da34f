//! Every limit is said, kept, and named by the refusal of what is beyond it. Pool wait and statement time: `away.rs` and
//! `deadlines.rs`; what a series may hold: `series.rs`.

use artel_client::Call;
use artel_handle::testing::LocalMesh;
use artel_proto::catalog::Product;
use artel_proto::order::{Order, OrderPlaced};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::value::Kind;
use artel_proto::persist::{
    AggregateRequest, CommitRequest, Comparison, Filter, Filters, GetRequest, Measure, MeasureKind, Mutation,
    Operator, Order as By, QueryRequest, QueryResponse, Value, filter::Node,
};
use artel_proto::{Entity, Message as _};
use artel_util::{Error, new_id};
use tonic::Code;

use crate::support::*;

fn compare(operator: Operator, values: usize) -> Filter {
    let value = Value { kind: Some(Kind::IntValue(1)) };
    let comparison =
        Comparison { field: "stock".into(), operator: operator.into(), values: vec![value; values] };
    Filter { node: Some(Node::Compare(comparison)) }
}

fn nested(levels: usize) -> Filter {
    let not = |inner| Filter { node: Some(Node::Not(Box::new(inner))) };
    (1..levels).fold(compare(Operator::IsNull, 0), |inner, _| not(inner))
}

fn any(comparisons: usize) -> Filter {
    let filters = vec![compare(Operator::IsNull, 0); comparisons];
    Filter { node: Some(Node::Any(Filters { filters })) }
}

impl Client {
    async fn where_(&self, filter: Filter) -> Result<QueryResponse, Error> {
        let query =
            QueryRequest { entity: Product::NAME.into(), r#where: Some(filter), ..QueryRequest::default() };
        answer(self.grpc.clone().query(query).await)
    }
}

#[tokio::test]
async fn a_filter_has_limits_and_what_is_beyond_them_is_refused_with_the_limit() {
    let bench = Bench::new().await;
    let client = bench.client();
    for fits in [nested(8), any(100), compare(Operator::In, 1_000)] {
        client.where_(fits).await.unwrap();
    }
    for (beyond, limit) in [(nested(9), "8"), (any(101), "100")] {
        let error = client.where_(beyond).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::InvalidArgument, "FILTER_TOO_LARGE"));
        assert_eq!(error.get("limit"), Some(limit));
        assert!(error.fields()[0].field.starts_with("where"), "{:?}", error.fields());
    }
    let error = client.where_(compare(Operator::In, 1_001)).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "where.compare.values", "{error:?}");
    assert!(error.fields()[0].description.contains("at most 1000"), "{error:?}");
}

#[tokio::test]
async fn a_batch_has_limits_and_what_is_beyond_them_is_refused_by_field() {
    let bench = Bench::new().await;
    let client = bench.client();
    let products = |count: usize| (0..count).map(|_| insert(&product("Чай", 1))).collect::<Vec<Mutation>>();
    let events = |count: usize| {
        let event = happened(&OrderPlaced { order_id: "k".into(), ..OrderPlaced::default() });
        vec![event; count]
    };
    let batch = |mutations, events, answer: usize| CommitRequest {
        mutations,
        events,
        idempotency: once(&new_id(), b"d", &vec![0; answer]),
    };
    client.send(batch(products(1_000), events(1_000), 65_536)).await.unwrap();
    for (beyond, field) in [
        (batch(products(1_001), vec![], 0), "mutations"),
        (batch(vec![], events(1_001), 0), "events"),
        (batch(vec![], events(1), 65_537), "idempotency.answer"),
        (CommitRequest { idempotency: once(&"k".repeat(301), b"d", b""), ..placed("k") }, "idempotency.key"),
    ] {
        let error = client.send(beyond).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(error.fields().iter().any(|wrong| wrong.field == field), "{field}: {:?}", error.fields());
    }
}

#[tokio::test]
async fn a_read_has_limits_and_a_page_is_cut_to_them() {
    let bench = Bench::new().await;
    let client = bench.client();
    for _ in 0..2 {
        client.commit((0..501).map(|_| insert(&product("Чай", 1))).collect()).await.unwrap();
    }
    let of = |page_size| QueryRequest { entity: Product::NAME.into(), page_size, ..QueryRequest::default() };
    for (asked, given) in [(0, 50), (1_000, 1_000), (1_001, 1_000), (i32::MAX, 1_000)] {
        let page = answer(client.grpc.clone().query(of(asked)).await).unwrap();
        assert_eq!((page.items.len(), page.next_page_token.is_empty()), (given, false));
    }
    let refused = |error: Error, field: &str| {
        assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
        assert!(error.fields().iter().any(|wrong| wrong.field == field), "{field}: {:?}", error.fields());
    };
    let query = async |request| answer(client.grpc.clone().query(request).await).unwrap_err();
    refused(query(of(-1)).await, "pageSize");
    refused(query(QueryRequest { search: "ч".repeat(501), ..of(1) }).await, "search");
    let order_by = vec![By { field: "stock".into(), descending: false }; 5];
    refused(query(QueryRequest { order_by, ..of(1) }).await, "orderBy");
    let get = |count: usize| GetRequest {
        entity: Product::NAME.into(),
        ids: vec![new_id(); count],
        ..GetRequest::default()
    };
    answer(client.grpc.clone().get(get(1_000)).await).unwrap();
    refused(answer(client.grpc.clone().get(get(1_001)).await).unwrap_err(), "ids");

    let measures = |count| vec![Measure { kind: MeasureKind::Count.into(), field: String::new() }; count];
    let aggregate = async |group_by: Vec<&str>, count: usize| {
        let request = AggregateRequest {
            entity: Product::NAME.into(),
            group_by: group_by.into_iter().map(str::to_owned).collect(),
            measures: measures(count),
            limit: i32::MAX,
            ..AggregateRequest::default()
        };
        answer(client.grpc.clone().aggregate(request).await)
    };
    assert_eq!(aggregate(vec!["id"], 16).await.unwrap().rows.len(), 1_000);
    refused(aggregate(vec![], 17).await.unwrap_err(), "measures");
    refused(aggregate(vec![], 0).await.unwrap_err(), "measures");
    refused(aggregate(vec!["stock"; 5], 1).await.unwrap_err(), "groupBy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_a_limit_on_its_way_in_and_out() {
    const MEGABYTE: usize = 1 << 20;
    let bench = Bench::new().await;
    let mesh = LocalMesh::start("").await.unwrap();
    mesh.serve(bench.database.persist().await.unwrap()).await.unwrap();
    let channel = mesh.host("order").channel("persist");
    let stub = PersistServiceClient::new(channel).max_decoding_message_size(32 * MEGABYTE);
    let call = Call::by_service("order", WORKSPACE);
    let large = |megabytes: usize| Order { user_id: "a".repeat(megabytes * MEGABYTE), ..order(&new_id()) };
    let commit = async |orders: &[Order]| {
        let mutations = orders.iter().map(insert).collect();
        answer(stub.clone().commit(call.request(CommitRequest { mutations, ..Default::default() })).await)
    };
    let error = commit(&[large(33)]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    assert_eq!(error.get("limit"), Some("33554432"));
    // What an index holds has a limit of PostgreSQL's own.
    assert_eq!(commit(&[large(1)]).await.unwrap_err().reason(), "VALUE_REFUSED");

    let heavy = |number: usize| artel_proto::notify::Email {
        id: new_id(),
        event_id: number.to_string(),
        html: "ж".repeat(3 * MEGABYTE),
        ..Default::default()
    };
    let emails: Vec<_> = (0..8).map(heavy).collect();
    for pair in emails.chunks(4) {
        let mutations = pair.iter().map(insert).collect();
        let request = call.request(CommitRequest { mutations, ..Default::default() });
        answer(stub.clone().commit(request).await).unwrap();
    }
    // All together are too much for an answer: a page ends before, and says where to go on.
    let (mut seen, mut pages, mut token) = (Vec::new(), 0, String::new());
    loop {
        let query = QueryRequest {
            entity: artel_proto::notify::Email::NAME.into(),
            page_token: token,
            ..QueryRequest::default()
        };
        let page = answer(stub.clone().query(call.request(query)).await).unwrap();
        seen.extend(page.items.into_iter().map(|item| artel_proto::notify::Email::decode(item).unwrap().id));
        (pages, token) = (pages + 1, page.next_page_token);
        if token.is_empty() {
            break;
        }
    }
    let mut ids: Vec<String> = emails.iter().map(|email| email.id.clone()).collect();
    ids.sort();
    assert_eq!((seen, pages > 1), (ids.clone(), true));
    let get = GetRequest { entity: artel_proto::notify::Email::NAME.into(), ids, ..GetRequest::default() };
    let error = answer(stub.clone().get(call.request(get)).await).unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "ANSWER_TOO_LARGE"));
    assert!(error.get("limit").is_some() && error.fields()[0].field == "ids");
}
