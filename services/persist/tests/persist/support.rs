//! A client of persist for tests.

use artel_client::{Call, User};
use artel_handle::Service;
use artel_handle::testing::{Direct, direct};
use artel_persist::testing::TestDatabase;
use artel_proto::catalog::Product;
use artel_proto::order::{Order, OrderItem, OrderPlaced, OrderStatus};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{
    Adjust, Check, CommitRequest, CommitResponse, Delete, Delta, Event as Happened, Expectation, GetRequest,
    Idempotency, Insert, Mutation, QueryRequest, Update, Upsert, Value, mutation::Change, value::Kind,
};
use artel_proto::types::Money;
use artel_proto::{Entity, Event, FieldMask};
use artel_util::{Error, new_id};
use tonic::Status;

pub const WORKSPACE: &str = "00000000-0000-7000-8000-000000000001";
pub const OTHER: &str = "00000000-0000-7000-8000-000000000002";

/// A database, persist on it, and a client of it.
pub struct Bench {
    pub database: TestDatabase,
    pub service: Service,
}

impl Bench {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let service = database.persist().await.unwrap();
        Self { database, service }
    }

    pub fn client(&self) -> Client {
        self.client_in(WORKSPACE)
    }

    pub fn client_in(&self, workspace: &str) -> Client {
        client(&self.service, workspace)
    }
}

pub fn client(service: &Service, workspace: &str) -> Client {
    let mut call = Call::by_service("order", workspace);
    call.user = Some(User { id: "anna".into(), roles: Vec::new(), locale: "ru".into() });
    Client { grpc: PersistServiceClient::new(direct(service, call)) }
}

#[derive(Clone)]
pub struct Client {
    pub grpc: PersistServiceClient<Direct>,
}

impl Client {
    pub async fn commit(&self, mutations: Vec<Mutation>) -> Result<CommitResponse, Error> {
        self.send(CommitRequest { mutations, ..CommitRequest::default() }).await
    }

    pub async fn send(&self, request: CommitRequest) -> Result<CommitResponse, Error> {
        answer(self.grpc.clone().commit(request).await)
    }

    pub async fn get<E: Entity>(&self, id: &str) -> Option<E> {
        self.get_all(&[id.to_owned()]).await.pop()
    }

    pub async fn get_all<E: Entity>(&self, ids: &[String]) -> Vec<E> {
        let request = GetRequest { entity: E::NAME.into(), ids: ids.to_vec(), ..Default::default() };
        let items = answer(self.grpc.clone().get(request).await).unwrap().items;
        items.into_iter().map(|item| E::decode(item).unwrap()).collect()
    }
}

impl Client {
    /// A page of a query.
    pub async fn page<E: Entity>(&self, request: QueryRequest) -> Vec<E> {
        let items = answer(self.grpc.clone().query(request).await).unwrap().items;
        items.into_iter().map(|item| E::decode(item).unwrap()).collect()
    }
}

pub fn answer<T>(result: Result<tonic::Response<T>, Status>) -> Result<T, Error> {
    result.map(tonic::Response::into_inner).map_err(Error::from)
}

fn mutation<E: Entity>(id: &str, change: Change) -> Mutation {
    Mutation { entity: E::NAME.into(), id: id.into(), change: Some(change), ..Mutation::default() }
}

pub fn insert<E: Entity>(entity: &E) -> Mutation {
    mutation::<E>("", Change::Insert(Insert { body: entity.encode_to_vec().into() }))
}

pub fn upsert<E: Entity>(entity: &E) -> Mutation {
    mutation::<E>("", Change::Upsert(Upsert { body: entity.encode_to_vec().into() }))
}

pub fn update<E: Entity>(entity: &E, fields: &[&str]) -> Mutation {
    let mask = FieldMask { paths: fields.iter().map(|field| (*field).to_owned()).collect() };
    let update = Update { body: entity.encode_to_vec().into(), mask: Some(mask) };
    mutation::<E>(entity.id(), Change::Update(update))
}

pub fn delete<E: Entity>(id: &str) -> Mutation {
    mutation::<E>(id, Change::Delete(Delete {}))
}

pub fn check<E: Entity>(id: &str) -> Mutation {
    mutation::<E>(id, Change::Check(Check {}))
}

pub fn adjust<E: Entity>(id: &str, field: &str, amount: i64, floor: Option<i64>) -> Mutation {
    let delta = Delta { field: field.into(), amount, floor, ceiling: None };
    mutation::<E>(id, Change::Adjust(Adjust { deltas: vec![delta] }))
}

pub fn expecting(mut mutation: Mutation, field: &str, value: Option<Kind>) -> Mutation {
    let value = value.map(|kind| Value { kind: Some(kind) });
    mutation.expectations.push(Expectation { field: field.into(), value });
    mutation
}

pub fn at_version(mutation: Mutation, version: i64) -> Mutation {
    Mutation { expected_version: version, ..mutation }
}

pub fn happened<E: Event>(event: &E) -> Happened {
    Happened { r#type: E::TYPE.into(), body: event.encode_to_vec().into(), expire_time: None }
}

pub fn once(key: &str, digest: &[u8], answer: &[u8]) -> Option<Idempotency> {
    Some(Idempotency { key: key.into(), digest: digest.to_vec().into(), answer: answer.to_vec().into() })
}

pub fn rubles(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "RUB".into() })
}

pub fn product(name: &str, stock: i32) -> Product {
    Product {
        id: new_id(),
        name: name.into(),
        vendor: "Артель".into(),
        price: rubles(12_900),
        stock,
        pictures: vec!["https://example.com/a \"b\".jpg".into(), "https://example.com/{},\\".into()],
        ..Product::default()
    }
}

pub fn order(number: &str) -> Order {
    let item = |name: &str, quantity| OrderItem {
        product_id: new_id(),
        name: name.into(),
        quantity,
        price: rubles(5),
        ..OrderItem::default()
    };
    Order {
        id: new_id(),
        number: number.into(),
        user_id: "anna".into(),
        status: OrderStatus::Placed.into(),
        items: vec![item("Чай", 2), item("Cup", 1)],
        total: rubles(15),
        ..Order::default()
    }
}

pub fn placed(key: &str) -> CommitRequest {
    let event = OrderPlaced { order_id: key.into(), ..OrderPlaced::default() };
    CommitRequest { events: vec![happened(&event)], ..CommitRequest::default() }
}

/// The number of a transaction, which it has from here on.
pub async fn txid(transaction: &tokio_postgres::Transaction<'_>) -> i64 {
    let sql = "SELECT pg_current_xact_id()::text::bigint";
    transaction.query_one(sql, &[]).await.unwrap().get(0)
}
