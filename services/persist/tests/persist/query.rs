use artel_persist::testing::TestDatabase;
use artel_proto::Message as _;
use artel_proto::catalog::Product;
use artel_proto::notify::Notification;
use artel_proto::order::Order;
use artel_proto::persist::value::Kind;
use artel_proto::persist::{
    AggregateRequest, Comparison, Filter, Filters, Measure, MeasureKind, Operator, Order as By, QueryRequest,
    QueryResponse, Value, filter::Node,
};
use artel_proto::{Entity, Timestamp};
use artel_util::{Error, new_id};

use crate::support::*;

fn compare(field: &str, operator: Operator, values: Vec<Kind>) -> Filter {
    let values = values.into_iter().map(|kind| Value { kind: Some(kind) }).collect();
    let comparison = Comparison { field: field.into(), operator: operator.into(), values };
    Filter { node: Some(Node::Compare(comparison)) }
}

fn text(value: &str) -> Kind {
    Kind::StringValue(value.into())
}

fn not(filter: Filter) -> Filter {
    Filter { node: Some(Node::Not(Box::new(filter))) }
}

fn any(filters: Vec<Filter>) -> Filter {
    Filter { node: Some(Node::Any(Filters { filters })) }
}

fn all(filters: Vec<Filter>) -> Filter {
    Filter { node: Some(Node::All(Filters { filters })) }
}

fn by(field: &str, descending: bool) -> By {
    By { field: field.into(), descending }
}

fn of<E: Entity>() -> QueryRequest {
    QueryRequest { entity: E::NAME.into(), ..QueryRequest::default() }
}

impl Client {
    async fn query(&self, request: QueryRequest) -> Result<QueryResponse, Error> {
        answer(self.grpc.clone().query(request).await)
    }

    async fn found(&self, request: QueryRequest) -> Vec<String> {
        let items = self.query(request).await.unwrap().items;
        let mut names: Vec<String> =
            items.into_iter().map(|item| Product::decode(item).unwrap().name).collect();
        names.sort();
        names
    }

    async fn search(&self, search: &str) -> Vec<String> {
        self.found(QueryRequest { search: search.into(), ..of::<Product>() }).await
    }
}

async fn shop() -> (Bench, Client) {
    let bench = Bench::new().await;
    let client = bench.client();
    let products = [("A", 1, 100, "X"), ("B", 0, 200, "X"), ("C", 5, 300, "Y"), ("D", 9, 300, "")];
    let products = products.map(|(name, stock, price, vendor)| Product {
        vendor: vendor.into(),
        price: (price != 300 || name == "C").then(|| rubles(price).unwrap()),
        ..product(name, stock)
    });
    client.commit(products.iter().map(insert).collect()).await.unwrap();
    (bench, client)
}

#[tokio::test]
async fn filters_find_what_they_say() {
    let (_bench, client) = shop().await;
    let found = async |filter: Filter| {
        client.found(QueryRequest { r#where: Some(filter), ..of::<Product>() }).await.join("")
    };
    let price = |operator, amount| compare("price.amount_minor", operator, vec![Kind::IntValue(amount)]);
    assert_eq!(found(compare("vendor", Operator::Equal, vec![text("X")])).await, "AB");
    assert_eq!(found(compare("vendor", Operator::NotEqual, vec![text("X")])).await, "CD");
    assert_eq!(found(compare("vendor", Operator::In, vec![text("X"), text("Y")])).await, "ABC");
    assert_eq!(found(compare("vendor", Operator::In, vec![])).await, "");
    assert_eq!(found(compare("vendor", Operator::IsNull, vec![])).await, "D");
    assert_eq!(found(compare("name", Operator::StartsWith, vec![text("A")])).await, "A");
    assert_eq!(found(compare("name", Operator::StartsWith, vec![text("%")])).await, "");
    assert_eq!(found(price(Operator::LessOrEqual, 200)).await, "AB");
    assert_eq!(found(price(Operator::Greater, 200)).await, "C");
    // D has no price: it is not less than anything, so the opposite holds for it.
    assert_eq!(found(not(price(Operator::Less, 300))).await, "CD");
    assert_eq!(found(compare("price.amount_minor", Operator::IsNull, vec![])).await, "D");
    assert_eq!(found(compare("category_id", Operator::Equal, vec![text("")])).await, "ABCD");
    let stock = compare("stock", Operator::Greater, vec![Kind::IntValue(0)]);
    assert_eq!(found(all(vec![stock.clone(), price(Operator::Less, 300)])).await, "A");
    assert_eq!(found(any(vec![not(stock), price(Operator::Equal, 300)])).await, "BC");
    assert_eq!(found(all(vec![])).await, "ABCD");
    assert_eq!(found(any(vec![])).await, "");
}

#[tokio::test]
async fn a_wrong_query_is_refused_by_field_and_limit() {
    let (_bench, client) = shop().await;
    let refused = async |filter: Filter| {
        client.query(QueryRequest { r#where: Some(filter), ..of::<Product>() }).await.unwrap_err()
    };
    let error = refused(all(vec![compare("description", Operator::Equal, vec![text("x")])])).await;
    assert_eq!(
        (error.reason(), error.fields()[0].field.as_str()),
        ("FIELD_NOT_QUERYABLE", "where.all.filters[0].compare.field")
    );
    assert!(error.get("allowed").unwrap().contains("price.amount_minor"));
    let error = refused(compare("stock", Operator::Equal, vec![text("many")])).await;
    assert_eq!(error.fields()[0].field, "where.compare.values[0]");
    let error = refused(compare("id", Operator::Equal, vec![text("1")])).await;
    assert_eq!(error.fields()[0].field, "where.compare.values[0]");
    let mut deep = compare("stock", Operator::IsNull, vec![]);
    for _ in 0..8 {
        deep = not(deep);
    }
    assert_eq!(refused(deep).await.reason(), "FILTER_TOO_LARGE");
    let wide = any(vec![compare("stock", Operator::IsNull, vec![]); 101]);
    assert_eq!(refused(wide).await.get("limit"), Some("100"));
    let error =
        client.query(QueryRequest { entity: "artel.order.v1.Nothing".into(), ..Default::default() }).await;
    assert!(error.unwrap_err().message().contains("artel.order.v1.Order"));
    let error = client.query(QueryRequest { search: "чай".into(), ..of::<Order>() }).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "search");
    // Names never reach the statement as they are.
    let error = refused(compare("name\" OR true --", Operator::IsNull, vec![])).await;
    assert_eq!(error.reason(), "FIELD_NOT_QUERYABLE");
    assert_eq!(client.search("'; DROP TABLE products; --").await, Vec::<String>::new());
}

async fn pages(client: &Client, request: &QueryRequest, mut between: impl AsyncFnMut(usize)) -> Vec<Vec<u8>> {
    let (mut items, mut token) = (Vec::new(), String::new());
    for page in 0.. {
        let answer = client.query(QueryRequest { page_token: token, ..request.clone() }).await.unwrap();
        items.extend(answer.items.into_iter().map(|item| item.to_vec()));
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        between(page).await;
    }
    items
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_rows_are_added() {
    let bench = Bench::new().await;
    let client = bench.client();
    let notification = |index: usize| Notification {
        id: new_id(),
        user_id: "anna".into(),
        event_id: format!("e{index}"),
        title: "old".into(),
        // Many share a moment, and half have none: ties and absent values are where pages break.
        read_time: index.is_multiple_of(2).then_some(Timestamp { seconds: (index / 8) as i64, nanos: 0 }),
        ..Notification::default()
    };
    let old: Vec<Notification> = (0..60).map(notification).collect();
    client.commit(old.iter().map(insert).collect()).await.unwrap();
    for order_by in [
        vec![],
        vec![by("read_time", false)],
        vec![by("read_time", true)],
        vec![by("user_id", false), by("create_time", true)],
        vec![by("read_time", true), by("event_id", false)],
        vec![by("id", true)],
    ] {
        let request = QueryRequest { page_size: 7, order_by, ..of::<Notification>() };
        let seen = pages(&client, &request, async |page| {
            let new = Notification {
                title: "new".into(),
                ..notification(1000 * page + request.order_by.len() * 100)
            };
            let _ = client.commit(vec![insert(&Notification { event_id: new_id(), ..new })]).await.unwrap();
        })
        .await;
        let seen = seen.into_iter().map(|item| Notification::decode(item.as_slice()).unwrap());
        let mut ids: Vec<String> = seen.filter(|seen| seen.title == "old").map(|seen| seen.id).collect();
        let mut expected: Vec<String> = old.iter().map(|old| old.id.clone()).collect();
        ids.sort();
        expected.sort();
        assert_eq!(ids, expected, "{:?}", request.order_by);
    }
}

#[tokio::test]
async fn a_token_is_good_for_its_query_alone() {
    let (bench, client) = shop().await;
    let request =
        QueryRequest { page_size: 2, with_total: true, order_by: vec![by("name", false)], ..of::<Product>() };
    let first = client.query(request.clone()).await.unwrap();
    assert_eq!((first.items.len(), first.total), (2, Some(4)));
    let next = QueryRequest { page_token: first.next_page_token.clone(), ..request.clone() };
    let last = client.query(QueryRequest { page_size: 9, with_total: false, ..next.clone() }).await.unwrap();
    assert_eq!((last.items.len(), last.next_page_token.as_str(), last.total), (2, "", None));

    let mut tampered = first.next_page_token.clone().into_bytes();
    let end = tampered.len() - 2;
    tampered[end] = if tampered[end] == b'A' { b'B' } else { b'A' };
    for wrong in [
        QueryRequest { order_by: vec![by("name", true)], ..next.clone() },
        QueryRequest { search: "чай".into(), ..next.clone() },
        QueryRequest { r#where: Some(compare("stock", Operator::IsNull, vec![])), ..next.clone() },
        QueryRequest { entity: Order::NAME.into(), order_by: vec![], ..next.clone() },
        QueryRequest { page_token: String::from_utf8(tampered).unwrap(), ..next.clone() },
        QueryRequest { page_token: "nonsense!".into(), ..next.clone() },
    ] {
        let error = client.query(wrong).await.unwrap_err();
        assert_eq!((error.reason(), error.fields()[0].field.as_str()), ("BAD_PAGE_TOKEN", "pageToken"));
    }
    let error = bench.client_in(OTHER).query(next).await.unwrap_err();
    assert_eq!(error.reason(), "BAD_PAGE_TOKEN");
}

#[tokio::test]
async fn words_are_found_in_russian_and_english_and_verbatim() {
    let bench = Bench::new().await;
    let client = bench.client();
    let described = |name: &str, description: &str| Product {
        description: description.into(),
        vendor: String::new(),
        ..product(name, 1)
    };
    let products = [
        described("Чайник эмалированный", "для дачи"),
        described("Кожаные сумки", "для телефонов Xiaomi"),
        described("Running shoes", "light, for women"),
        described("XR-500/B", "деталь"),
        described("Телефон", "сумка в подарок"),
    ];
    client.commit(products.iter().map(insert).collect()).await.unwrap();
    assert_eq!(client.search("чайники").await, ["Чайник эмалированный"]);
    assert_eq!(client.search("сумка").await, ["Кожаные сумки", "Телефон"]);
    assert_eq!(client.search("сумка -кожаный").await, ["Телефон"]);
    assert_eq!(client.search("сумки -телефоны").await, Vec::<String>::new());
    assert_eq!(client.search("shoe run").await, ["Running shoes"]);
    assert_eq!(client.search("XR-500/B").await, ["XR-500/B"]);
    assert_eq!(client.search("\"для дачи\"").await, ["Чайник эмалированный"]);
    assert_eq!(client.search("\"light women\"").await, Vec::<String>::new());
    assert_eq!(client.search("чайник or shoes").await, ["Running shoes", "Чайник эмалированный"]);
    assert_eq!(client.search("!!! &|").await, Vec::<String>::new());
    assert_eq!(client.search("-сумка -shoes").await, ["XR-500/B", "Чайник эмалированный"]);
    // A hit in the name weighs more than one in the description, and pages by relevance are stable.
    let ranked = QueryRequest { search: "сумка".into(), page_size: 1, ..of::<Product>() };
    let seen = pages(&client, &ranked, async |_| {}).await;
    let names: Vec<String> = seen.iter().map(|item| Product::decode(item.as_slice()).unwrap().name).collect();
    assert_eq!(names, ["Кожаные сумки", "Телефон"]);
}

#[tokio::test]
async fn the_newest_hits_are_ranked_and_an_order_shows_the_others() {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.set_search_ranked(3);
    let service = database.persist_with(&settings).await.unwrap();
    let ours = client(&service, WORKSPACE);
    // The best hit is the oldest one.
    for (name, description) in [("Сумка", "сумка"), ("A", "сумка"), ("Сумка B", ""), ("C", "сумка")]
    {
        let hit = Product { description: description.into(), ..product(name, 1) };
        ours.commit(vec![insert(&hit)]).await.unwrap();
        // What others have takes no place away.
        client(&service, OTHER).commit(vec![insert(&Product { id: new_id(), ..hit })]).await.unwrap();
    }
    let ranked = QueryRequest { search: "сумка".into(), page_size: 1, ..of::<Product>() };
    let seen = pages(&ours, &ranked, async |_| {}).await;
    let names: Vec<String> = seen.iter().map(|item| Product::decode(item.as_slice()).unwrap().name).collect();
    assert_eq!(names, ["Сумка B", "C", "A"]);
    let counted = QueryRequest { with_total: true, ..ranked.clone() };
    assert_eq!(ours.query(counted).await.unwrap().total, Some(4));
    let named = QueryRequest { order_by: vec![by("name", false)], page_size: 0, ..ranked.clone() };
    assert_eq!(ours.found(named).await, ["A", "C", "Сумка", "Сумка B"]);
    // Conditions hold before the newest are taken.
    let others = not(compare("name", Operator::Equal, vec![text("C")]));
    let fewer = QueryRequest { r#where: Some(others), page_size: 0, ..ranked };
    assert_eq!(ours.found(fewer).await, ["A", "Сумка", "Сумка B"]);
}

#[tokio::test]
async fn aggregates_count_and_measure_groups() {
    let (_bench, client) = shop().await;
    let aggregate = async |group_by: &[&str], measures: Vec<(MeasureKind, &str)>| {
        let measures =
            measures.into_iter().map(|(kind, field)| Measure { kind: kind.into(), field: field.into() });
        let request = AggregateRequest {
            entity: Product::NAME.into(),
            group_by: group_by.iter().map(|field| (*field).to_owned()).collect(),
            measures: measures.collect(),
            ..AggregateRequest::default()
        };
        let rows = answer(client.grpc.clone().aggregate(request).await).map(|answer| answer.rows);
        rows.map(|rows| {
            rows.into_iter().map(|row| (kinds(row.keys), kinds(row.measures))).collect::<Vec<_>>()
        })
    };
    let vendors =
        aggregate(&["vendor"], vec![(MeasureKind::Count, ""), (MeasureKind::Sum, "stock")]).await.unwrap();
    let int = |number| Some(Kind::IntValue(number));
    assert_eq!(
        vendors,
        [
            (vec![Some(text("X"))], vec![int(2), int(1)]),
            (vec![Some(text(""))], vec![int(1), int(9)]),
            (vec![Some(text("Y"))], vec![int(1), int(5)]),
        ]
    );
    let measures = vec![
        (MeasureKind::Min, "price.amount_minor"),
        (MeasureKind::Max, "price.amount_minor"),
        (MeasureKind::Avg, "stock"),
        (MeasureKind::Distinct, "vendor"),
        (MeasureKind::Count, "price.amount_minor"),
    ];
    let whole = aggregate(&[], measures).await.unwrap();
    assert_eq!(whole, [(vec![], vec![int(100), int(300), Some(Kind::DoubleValue(3.75)), int(3), int(3)])]);
    let error = aggregate(&["description"], vec![(MeasureKind::Count, "")]).await.unwrap_err();
    assert_eq!((error.reason(), error.fields()[0].field.as_str()), ("FIELD_NOT_QUERYABLE", "groupBy[0]"));
    let error = aggregate(&[], vec![(MeasureKind::Sum, "name")]).await.unwrap_err();
    assert_eq!(error.fields()[0].field, "measures[0].field");
}

fn kinds(values: Vec<Value>) -> Vec<Option<Kind>> {
    values.into_iter().map(|value| value.kind).collect()
}

#[tokio::test]
async fn what_is_asked_for_by_key_comes_in_that_order_and_what_is_missing_is_absent() {
    let bench = Bench::new().await;
    let client = bench.client();
    let teas: Vec<Product> = (0..150).map(|number| product(&format!("Чай {number}"), 1)).collect();
    client.commit(teas.iter().map(insert).collect()).await.unwrap();
    client.commit(vec![delete::<Product>(&teas[3].id)]).await.unwrap();
    // Few keys and many, which are read in different ways.
    for count in [5, 150] {
        let there: Vec<String> = teas[..count].iter().rev().map(|tea| tea.id.clone()).collect();
        let asked: Vec<String> = there.iter().flat_map(|id| [id.clone(), new_id()]).collect();
        let found = client.get_all::<Product>(&asked).await;
        let expected: Vec<String> = there.into_iter().filter(|id| *id != teas[3].id).collect();
        assert_eq!(found.into_iter().map(|tea| tea.id).collect::<Vec<_>>(), expected);
    }
    assert!(client.get_all::<Product>(&[new_id()]).await.is_empty());
    assert!(client.get_all::<Product>(&[]).await.is_empty());
}
