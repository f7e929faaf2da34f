//! The commit that places an order, as the service `order` makes it: stock taken, the order, its event, a key.

use std::time::Duration;

use anyhow::Result;
use artel_proto::catalog::Product;
use artel_proto::order::{Order, OrderItem, OrderPlaced, OrderStatus};
use artel_proto::persist::{
    Adjust, CommitRequest, Delta, Event, Idempotency, Insert, Mutation, mutation::Change,
};
use artel_proto::types::Money;
use artel_proto::{Entity, Message as _};
use artel_util::new_id;
use async_trait::async_trait;

use crate::cpu::Watched;
use crate::load;
use crate::rounds::{Contender, Work};
use crate::store::{Store, product_id};

/// The price of everything.
const PRICE: i64 = 100;

/// Which products an order is of.
#[derive(Debug, Clone, Copy)]
pub enum Basket {
    /// Three by chance, each of another third.
    Three,
    /// The one that everybody wants.
    Hot,
}

/// Orders placed by clients, each the next when the last is answered.
pub struct Orders<'a> {
    /// persist and its database.
    pub store: &'a Store,
    /// What they order.
    pub basket: Basket,
    /// How many order at once.
    pub clients: usize,
}

#[async_trait(?Send)]
impl Contender for Orders<'_> {
    fn name(&self) -> &str {
        "persist"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::generator(), self.store.persist(), self.store.postgres()]
    }

    async fn reset(&mut self) -> Result<()> {
        self.store.reset().await
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let stubs = self.store.stubs().await?;
        let basket = self.basket;
        load::closed(self.clients, time, |client| {
            let stub = stubs[client % stubs.len()].clone();
            move || {
                let mut stub = stub.clone();
                async move { Ok(stub.commit(basket.order().1).await.map(drop)?) }
            }
        })
        .await
    }
}

impl Basket {
    /// The ids of the products of one order.
    fn products(self) -> Vec<String> {
        match self {
            Self::Three => [1, 334, 667].map(|from| product_id(from + rand::random_range(0..333))).to_vec(),
            Self::Hot => vec![product_id(1)],
        }
    }

    /// A commit that places one, and the order's id.
    pub fn order(self) -> (String, CommitRequest) {
        let ids = self.products();
        let now = artel_util::now();
        let order = Order {
            id: new_id(),
            number: new_id(),
            user_id: "anna".into(),
            status: OrderStatus::Placed.into(),
            items: ids.iter().map(|id| item(id)).collect(),
            total: money(PRICE * i64::try_from(ids.len()).unwrap_or_default()),
            create_time: Some(now),
            update_time: Some(now),
            ..Order::default()
        };
        let placed = OrderPlaced { order_id: order.id.clone(), ..OrderPlaced::default() };
        let event = Event {
            r#type: <OrderPlaced as artel_proto::Event>::TYPE.into(),
            body: placed.encode_to_vec().into(),
            expire_time: None,
        };
        let id = order.id.clone();
        let request = CommitRequest {
            mutations: ids.into_iter().map(take).chain([insert(&order)]).collect(),
            events: vec![event],
            idempotency: Some(Idempotency {
                key: new_id(),
                digest: vec![1; 32].into(),
                answer: vec![2; 64].into(),
            }),
        };
        (id, request)
    }
}

fn take(id: String) -> Mutation {
    let delta = Delta { field: "stock".into(), amount: -1, floor: Some(0), ceiling: None };
    let change = Some(Change::Adjust(Adjust { deltas: vec![delta] }));
    Mutation { entity: Product::NAME.into(), id, change, ..Mutation::default() }
}

fn insert<E: Entity>(entity: &E) -> Mutation {
    let change = Change::Insert(Insert { body: entity.encode_to_vec().into() });
    Mutation { entity: E::NAME.into(), change: Some(change), ..Mutation::default() }
}

fn item(id: &str) -> OrderItem {
    OrderItem {
        product_id: id.to_owned(),
        name: "Чай".into(),
        quantity: 1,
        price: money(PRICE),
        ..OrderItem::default()
    }
}

fn money(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "RUB".into() })
}
