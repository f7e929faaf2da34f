//! Commits by chance, on rows few enough that they meet, and those that are refused for certain.

use artel_proto::catalog::{Category, FeedOffer, Product};
use artel_proto::identity::User;
use artel_proto::order::{Order, OrderPlaced};
use artel_proto::persist::value::Kind;
use artel_proto::persist::{CommitRequest, Mutation};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::*;

/// A commit and whose it is.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) workspace: &'static str,
    pub(super) request: CommitRequest,
}

/// What the second of two commits is refused for, however those around it end: a round holds one of these pairs, so that
/// each kind comes up whatever the seed.
#[derive(Debug, Clone, Copy)]
enum Refused {
    Floor,
    Field,
    Version,
    Reference,
    Row,
    Unique,
    Key,
}

impl Refused {
    const ALL: [Self; 7] =
        [Self::Floor, Self::Field, Self::Version, Self::Reference, Self::Row, Self::Unique, Self::Key];
}

/// Rows few enough that commits meet on them.
pub(super) struct Random {
    random: StdRng,
    seed: u64,
    ids: Vec<String>,
    round: usize,
    fresh: u128,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let ids = (0..24_u128).map(|number| uuid(seed, number)).collect();
        Self { random: StdRng::seed_from_u64(seed), seed, ids, round: 0, fresh: 1_000 }
    }

    fn below(&mut self, most: usize) -> usize {
        self.random.random_range(0..most)
    }

    fn id(&mut self, from: usize, count: usize) -> String {
        let at = from + self.below(count);
        self.ids[at].clone()
    }

    fn name(&mut self) -> String {
        ["Чай", "Кофе", "a \"b\", {c}\\", ""][self.below(4)].to_owned()
    }

    fn category(&mut self) -> Category {
        let parent = if self.random.random_bool(0.2) { self.id(0, 4) } else { String::new() };
        Category { id: self.id(0, 4), parent_id: parent, name: self.name(), ..Category::default() }
    }

    fn product(&mut self) -> Product {
        let category = if self.random.random_bool(0.4) { self.id(0, 4) } else { String::new() };
        let pictures = (0..self.below(3)).map(|_| self.name()).collect();
        let price = self.random.random_bool(0.7).then(|| rubles(self.random.random_range(1..4))).flatten();
        let (id, name, stock) = (self.id(4, 6), self.name(), self.below(6));
        let stock = i32::try_from(stock).unwrap();
        Product { id, name, stock, price, pictures, category_id: category, ..Product::default() }
    }

    fn order(&mut self) -> Order {
        let number = format!("A-{}", self.below(8));
        Order { id: self.id(10, 6), ..order(&number) }
    }

    fn offer(&mut self) -> FeedOffer {
        let offer_id = format!("o{}", self.below(3));
        let count = i32::try_from(self.below(3)).unwrap();
        FeedOffer { id: self.id(4, 6), shop: "shop".into(), offer_id, count, ..FeedOffer::default() }
    }

    fn user(&mut self) -> User {
        let email = format!("{}@example.com", self.below(4));
        User { id: self.id(16, 4), email: Some(email), roles: vec!["a".into()], ..User::default() }
    }

    fn mutation(&mut self, is_first_workspace: bool) -> Mutation {
        match self.below(if is_first_workspace { 42 } else { 40 }) {
            0 => insert(&self.product()),
            1 => upsert(&self.product()),
            2..5 => update(&self.product(), &["name", "pictures"]),
            5 => update(&self.product(), &["price", "category_id"]),
            6 => delete::<Product>(&self.id(4, 6)),
            7..21 => {
                let amount = self.random.random_range(-3..=3);
                adjust::<Product>(&self.id(4, 6), "stock", amount, Some(0))
            }
            21..23 => {
                let take = adjust::<Product>(&self.id(4, 6), "stock", -1, Some(0));
                expecting(take, "price.amount_minor", Some(Kind::IntValue(self.random.random_range(1..4))))
            }
            23 => at_version(check::<Product>(&self.id(4, 6)), self.random.random_range(1..6)),
            24..33 => {
                let number = format!("B-{}", self.random.random::<u32>());
                insert(&order(&number))
            }
            33 => insert(&self.order()),
            34 => update(&self.order(), &["number", "items"]),
            35 => delete::<Order>(&self.id(10, 6)),
            36..38 => [insert(&self.category()), upsert(&self.category())][self.below(2)].clone(),
            38 => delete::<Category>(&self.id(0, 4)),
            39 => match self.below(3) {
                0 => insert(&self.offer()),
                1 => upsert(&self.offer()),
                _ => delete::<FeedOffer>(&self.id(4, 6)),
            },
            40 => insert(&self.user()),
            _ => update(&self.user(), &["email"]),
        }
    }

    /// What there is before the first round, in each workspace.
    pub(super) fn start(&mut self) -> Vec<Asked> {
        let products = (4..10).map(|at| {
            insert(&Product {
                id: self.ids[at].clone(), stock: 20, price: rubles(2), ..product("Чай", 20)
            })
        });
        let request = CommitRequest { mutations: products.collect(), ..CommitRequest::default() };
        [WORKSPACE, OTHER].map(|workspace| Asked { workspace, request: request.clone() }).into()
    }

    fn asked(&mut self) -> Asked {
        let is_first = self.random.random_bool(0.7);
        let mutations = (0..1 + self.below(2)).map(|_| self.mutation(is_first)).collect();
        let mut request = CommitRequest { mutations, ..CommitRequest::default() };
        for _ in 0..self.below(3) {
            let key = self.id(10, 6);
            request.events.push(happened(&OrderPlaced { order_id: key, ..OrderPlaced::default() }));
        }
        if self.random.random_bool(0.6) {
            let (round, number) = (self.round, self.below(30));
            let key = format!("k{round}/{number}");
            request.idempotency =
                once(&key, [b"d", b"e"][usize::from(self.random.random_bool(0.2))], b"answer");
        }
        Asked { workspace: if is_first { WORKSPACE } else { OTHER }, request }
    }

    /// Two to thirteen commits by chance, and a pair of which the second is refused.
    pub(super) fn round(&mut self) -> Vec<Asked> {
        self.round += 1;
        let mut round: Vec<Asked> = (0..2 + self.below(12)).map(|_| self.asked()).collect();
        let [first, second] = self.pair(Refused::ALL[self.round % Refused::ALL.len()]);
        let at = self.below(round.len() + 1);
        round.insert(at, first);
        let after = at + 1 + self.below(round.len() - at);
        round.insert(after, second);
        round
    }

    /// Two commits on rows of their own.
    fn pair(&mut self, refused: Refused) -> [Asked; 2] {
        let id = self.fresh_id();
        let made = Product { id: id.clone(), ..product("Чай", 1) };
        let mut first = CommitRequest { mutations: vec![insert(&made)], ..CommitRequest::default() };
        let take = |amount: i64| adjust::<Product>(&id, "stock", -amount, Some(0));
        let second = match refused {
            Refused::Floor => take(2),
            Refused::Field => expecting(take(1), "price.amount_minor", Some(Kind::IntValue(1))),
            Refused::Version => at_version(check::<Product>(&id), 2),
            Refused::Reference => update(&Product { category_id: self.fresh_id(), ..made }, &["category_id"]),
            Refused::Row => delete::<Product>(&self.fresh_id()),
            Refused::Unique => {
                let number = format!("C-{}", self.round);
                first.mutations.push(insert(&Order { id: self.fresh_id(), ..order(&number) }));
                insert(&Order { id: self.fresh_id(), ..order(&number) })
            }
            Refused::Key => take(1),
        };
        let mut second = CommitRequest { mutations: vec![second], ..CommitRequest::default() };
        if matches!(refused, Refused::Key) {
            let key = format!("pair {}", self.round);
            first.idempotency = once(&key, b"d", b"answer");
            second.idempotency = once(&key, b"e", b"answer");
        }
        let workspace = if self.random.random_bool(0.7) { WORKSPACE } else { OTHER };
        [first, second].map(|request| Asked { workspace, request })
    }

    fn fresh_id(&mut self) -> String {
        self.fresh += 1;
        uuid(self.seed, self.fresh)
    }
}

fn uuid(seed: u64, number: u128) -> String {
    let bits = u128::from(seed) << 64 | 0x7000_8000_0000_0000_0000 | number;
    format!(
        "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
        bits >> 96,
        bits >> 80 & 0xffff,
        bits >> 64 & 0xfff,
        0,
        bits & 0xffff_ffff_ffff
    )
}
