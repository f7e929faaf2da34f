//! Commits that wait at the same moment share a transaction, and each of them ends as if it had been alone.
//!
//! On a runtime of one thread all commits of a `join_all` are in the queue before a writer runs, so what forms a group,
//! and in which order, is known; the position in the answers, which is the transaction's number, proves it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::testing::direct;
use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::catalog::{Category, FeedOffer, Product};
use artel_proto::identity::User;
use artel_proto::order::{Order, OrderPlaced};
use artel_proto::persist::mutation::Change;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::value::Kind;
use artel_proto::persist::{CommitRequest, CommitResponse, Mutation};
use artel_util::Error;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::Code;

use crate::support::*;

/// A commit and whose it is.
#[derive(Debug, Clone)]
struct Asked {
    workspace: &'static str,
    request: CommitRequest,
}

/// Rows few enough that commits meet on them.
struct Random {
    random: StdRng,
    ids: Vec<String>,
    round: usize,
}

impl Random {
    fn new(seed: u64) -> Self {
        let ids = (0..24_u128).map(|number| uuid(seed, number)).collect();
        Self { random: StdRng::seed_from_u64(seed), ids, round: 0 }
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
        User { id: self.id(16, 4), email, roles: vec!["a".into()], ..User::default() }
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
    fn start(&mut self) -> Vec<Asked> {
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

    fn round(&mut self) -> Vec<Asked> {
        self.round += 1;
        (0..2 + self.below(12)).map(|_| self.asked()).collect()
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

/// An answer without what differs from database to database.
fn told(asked: &Asked, answer: &Result<CommitResponse, Error>) -> String {
    let inserts =
        asked.request.mutations.iter().filter(|mutation| matches!(mutation.change, Some(Change::Insert(_))));
    match answer {
        // Which of several keys that are taken is told is left open.
        Err(error) if error.reason() == "UNIQUE_VIOLATION" && inserts.count() > 1 => {
            error.reason().to_owned()
        }
        Ok(answer) => format!(
            "{:?}, {} events, replayed: {}, {:?}",
            answer.results,
            answer.event_ids.len(),
            answer.replayed,
            answer.answer
        ),
        Err(error) => {
            let known = ["mutation", "entity", "id", "condition", "field", "fields", "actual", "references"];
            let details: Vec<_> = known.iter().filter_map(|key| Some((key, error.get(key)?))).collect();
            format!("{:?} {error} {details:?}", error.code())
        }
    }
}

/// All that a database holds of its commits, times and numbers of transactions left out.
async fn held(bench: &Bench) -> Vec<String> {
    let client = bench.database.superuser().await.unwrap();
    let mut held = Vec::new();
    for (what, columns) in [
        ("categories t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        (
            "products t ORDER BY t.workspace_id, t.id",
            "(to_jsonb(t) - '{create_time,update_time,delete_time,search}'::text[]) \
             || jsonb_build_object('deleted', t.delete_time IS NOT NULL, 'ordered', t.create_time <= t.update_time)",
        ),
        ("orders t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        ("feed_offers t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - 'update_time'"),
        ("users t ORDER BY t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        (
            "change_log t ORDER BY t.workspace_id, t.position",
            "jsonb_build_array(t.workspace_id, t.entity, t.entity_id, t.operation, t.version, t.ordinal,
                t.actor_user, t.actor_service, t.before, t.after)",
        ),
        (
            "outbox t ORDER BY t.workspace_id, t.position",
            "jsonb_build_array(t.workspace_id, t.type, t.name, t.key, t.body, t.actor_user, t.actor_service)",
        ),
        (
            "idempotency t WHERE NOT starts_with(t.key, 'commit/') ORDER BY t.workspace_id, t.key",
            "jsonb_build_array(t.workspace_id, t.key, t.digest, t.answer)",
        ),
    ] {
        let rows = client.query(&format!("SELECT ({columns})::text FROM {what}"), &[]).await.unwrap();
        let table = what.split(' ').next().unwrap();
        held.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
    }
    held
}

async fn together(bench: &Bench, asked: &[Asked]) -> Vec<Result<CommitResponse, Error>> {
    let (one, other) = (bench.client(), bench.client_in(OTHER));
    let send = |asked: &Asked| {
        let client = if asked.workspace == WORKSPACE { one.clone() } else { other.clone() };
        let request = asked.request.clone();
        async move { client.send(request).await }
    };
    join_all(asked.iter().map(send)).await
}

async fn one_by_one(bench: &Bench, asked: &[Asked]) -> Vec<Result<CommitResponse, Error>> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(bench.client_in(asked.workspace).send(asked.request.clone()).await);
    }
    answers
}

/// persist with so many groups of one workspace at once, and so many commits in each.
async fn grouping(lanes: usize, commits: usize) -> Bench {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.set_commit_groups(lanes, commits);
    let (service, _) = relaying(&settings, crate::broker::Nowhere).await.unwrap();
    Bench { database, service }
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Came {
    done: usize,
    refused: usize,
    transactions: usize,
    reasons: BTreeSet<String>,
}

/// Random rounds: each together on one database, and in the way of `replay` on another. The first difference is the error.
async fn compare(
    seed: u64,
    rounds: usize,
    replay: impl AsyncFn(&Bench, &[Asked]) -> Vec<Result<CommitResponse, Error>>,
) -> Result<Came, String> {
    let (grouped, single) = (grouping(1, 256).await, Bench::new().await);
    let mut random = Random::new(seed);
    let mut came = Came::default();
    for round in 0..rounds {
        let asked = if round == 0 { random.start() } else { random.round() };
        let answers = together(&grouped, &asked).await;
        let expected = replay(&single, &asked).await;
        for (index, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
            let (answer, expected) = (told(&asked[index], answer), told(&asked[index], expected));
            if answer != expected {
                let asked = &asked[..=index];
                return Err(format!(
                    "seed {seed}, round {round}, commit {index}:\n{answer}\ninstead of\n{expected}\n{asked:#?}"
                ));
            }
        }
        if let Some((one, other)) =
            held(&grouped).await.into_iter().zip(held(&single).await).find(|(one, other)| one != other)
        {
            return Err(format!("seed {seed}, round {round}:\n{one}\ninstead of\n{other}\n{asked:#?}"));
        }
        let done = answers.iter().flatten().filter(|answer| !answer.replayed);
        came.done += done.clone().count();
        came.transactions += done.map(|answer| answer.position).collect::<BTreeSet<_>>().len();
        came.refused += answers.iter().filter(|answer| answer.is_err()).count();
        let reasons = answers.iter().filter_map(|answer| answer.as_ref().err());
        came.reasons.extend(reasons.map(|error| format!("{} {:?}", error.reason(), error.get("condition"))));
    }
    Ok(came)
}

#[tokio::test]
async fn commits_together_end_as_one_by_one() {
    let seed = rand::random::<u64>();
    let came = compare(seed, 120, one_by_one).await.unwrap_or_else(|difference| panic!("{difference}"));
    println!("seed {seed}: {came:#?}");
    assert!(came.done > 200 && came.refused > 100, "too one-sided to show anything: {came:?}");
    assert!(came.transactions * 3 < came.done * 2, "hardly any groups: {came:?}");
    for reason in ["UNIQUE_VIOLATION", "IDEMPOTENCY_KEY_REUSED", "ROW_NOT_FOUND"] {
        assert!(came.reasons.iter().any(|other| other.starts_with(reason)), "no {reason}: {came:?}");
    }
    for condition in ["floor", "field", "version", "reference"] {
        assert!(came.reasons.iter().any(|other| other.contains(condition)), "no {condition}: {came:?}");
    }
}

/// Small groups side by side: what they did is what somebody would see who did it in the order of their transactions,
/// and each was answered so.
#[tokio::test]
async fn groups_side_by_side_end_as_one_after_the_other() {
    let seed = rand::random::<u64>();
    let (grouped, single) = (grouping(4, 3).await, Bench::new().await);
    let mut random = Random::new(seed);
    let (mut done, mut transactions) = (0, 0);
    for round in 0..60 {
        let mut asked = if round == 0 { random.start() } else { random.round() };
        asked.extend(random.round());
        let answers = together(&grouped, &asked).await;
        let mut accepted: Vec<(i64, usize)> = answers
            .iter()
            .enumerate()
            .filter_map(|(index, answer)| {
                Some((answer.as_ref().ok().filter(|a| !a.replayed)?.position, index))
            })
            .collect();
        accepted.sort_unstable();
        done += accepted.len();
        transactions += accepted.iter().map(|(position, _)| position).collect::<BTreeSet<_>>().len();
        for (_, index) in accepted {
            let asked = &asked[index];
            let expected = single.client_in(asked.workspace).send(asked.request.clone()).await;
            let (answer, expected) = (told(asked, &answers[index]), told(asked, &expected));
            assert_eq!(answer, expected, "seed {seed}, round {round}, commit {index}: {asked:#?}");
        }
        let sorted = async |bench: &Bench| {
            let mut held = held(bench).await;
            held.sort_unstable();
            held
        };
        assert_eq!(sorted(&grouped).await, sorted(&single).await, "seed {seed}, round {round}: {asked:#?}");
    }
    println!("seed {seed}: {done} commits in {transactions} transactions");
    assert!(done > 300 && transactions < done, "{done} commits in {transactions} transactions");
}

/// The negative control: merged as one might at first, into one batch of all changes, one commit that fails takes the
/// others with it. The comparison must see it.
#[tokio::test]
async fn the_comparison_sees_a_merge_that_is_too_simple() {
    let merged = async |bench: &Bench, asked: &[Asked]| {
        let mut answers = Vec::new();
        for workspace in [WORKSPACE, OTHER] {
            let own = || asked.iter().filter(|asked| asked.workspace == workspace);
            let all = CommitRequest {
                mutations: own().flat_map(|asked| asked.request.mutations.clone()).collect(),
                events: own().flat_map(|asked| asked.request.events.clone()).collect(),
                idempotency: None,
            };
            if own().next().is_some() {
                answers.push(bench.client_in(workspace).send(all).await);
            }
        }
        answers
    };
    assert!(compare(rand::random(), 20, merged).await.is_err(), "it was not seen");
}

/// The negative control for the order: the same commits the other way round.
#[tokio::test]
async fn the_comparison_sees_another_order() {
    let reversed = async |bench: &Bench, asked: &[Asked]| {
        let reversed: Vec<Asked> = asked.iter().rev().cloned().collect();
        let mut answers = one_by_one(bench, &reversed).await;
        answers.reverse();
        answers
    };
    assert!(compare(rand::random(), 40, reversed).await.is_err(), "it was not seen");
}

fn positions<'a>(answers: impl IntoIterator<Item = &'a CommitResponse>) -> BTreeSet<i64> {
    answers.into_iter().map(|answer| answer.position).collect()
}

#[tokio::test]
async fn what_waits_shares_a_transaction_and_a_hot_row_is_written_once() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Последний", 40);
    client.commit(vec![insert(&product)]).await.unwrap();
    let take = || client.commit(vec![adjust::<Product>(&product.id, "stock", -1, Some(0))]);
    let answers = join_all((0..64).map(|_| take())).await;
    let (sold, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let sold: Vec<CommitResponse> = sold.into_iter().map(Result::unwrap).collect();
    assert_eq!((sold.len(), refused.len()), (40, 24));
    assert_eq!(positions(&sold).len(), 1, "no group was formed");
    let versions: Vec<i64> = sold.iter().map(|answer| answer.results[0].version).collect();
    assert_eq!(versions, (2..42).collect::<Vec<_>>(), "not in the order of arrival");
    assert!(refused.iter().all(|answer| answer.as_ref().unwrap_err().get("actual") == Some("0")));

    let superuser = bench.database.superuser().await.unwrap();
    let log = "SELECT string_agg((before->>'stock') || '>' || (after->>'stock'), ' ' ORDER BY position)
               FROM change_log WHERE operation = 'adjust'";
    let expected: Vec<String> = (0..40).rev().map(|left| format!("{}>{left}", left + 1)).collect();
    assert_eq!(superuser.query_one(log, &[]).await.unwrap().get::<_, String>(0), expected.join(" "));
    superuser.execute("SELECT pg_stat_force_next_flush()", &[]).await.unwrap();
    let updates = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'products'";
    let begin = Instant::now();
    loop {
        // The writers' own session tells its count a moment later.
        let count: i64 = superuser.query_one(updates, &[]).await.unwrap().get(0);
        assert!(count <= 1, "the row was written {count} times");
        if count == 1 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no update was counted");
        client.get::<Product>(&product.id).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_takes_no_other_with_it() {
    let bench = Bench::new().await;
    let client = bench.client();
    client.commit(vec![insert(&order("taken"))]).await.unwrap();
    let missing = Product { category_id: artel_util::new_id(), ..product("Чай", 1) };
    let mut batches: Vec<Vec<Mutation>> =
        (0..30).map(|number| vec![insert(&order(&format!("A-{number}")))]).collect();
    batches[7] = vec![insert(&product("Кофе", 1)), insert(&order("taken"))];
    batches[20] = vec![insert(&missing)];
    let answers = join_all(batches.into_iter().map(|batch| client.commit(batch))).await;
    for (index, answer) in answers.iter().enumerate() {
        match index {
            7 => {
                let error = answer.as_ref().unwrap_err();
                assert_eq!((error.reason(), error.get("mutation")), ("UNIQUE_VIOLATION", Some("1")));
            }
            20 => assert_eq!(answer.as_ref().unwrap_err().get("condition"), Some("reference")),
            _ => assert!(answer.is_ok(), "{index}: {answer:?}"),
        }
    }
    assert!(positions(answers.iter().flatten()).len() < 15, "they were done one by one");
}

#[tokio::test]
async fn a_key_twice_in_one_group_is_answered_as_one_after_the_other() {
    let bench = Bench::new().await;
    let client = bench.client();
    let product = product("Чай", 2);
    client.commit(vec![insert(&product)]).await.unwrap();
    let taking = |key: &str, digest: &[u8], amount: i64| CommitRequest {
        mutations: vec![adjust::<Product>(&product.id, "stock", -amount, Some(0))],
        idempotency: once(key, digest, b"answer"),
        ..CommitRequest::default()
    };
    let requests = [
        taking("a", b"d", 1),
        taking("a", b"d", 1),
        taking("a", b"other", 1),
        // The first of these fails and leaves the key free for the second, which is not refused by the digest.
        taking("b", b"d", 5),
        taking("b", b"other", 1),
        taking("b", b"other", 1),
    ];
    let answers = join_all(requests.map(|request| client.send(request))).await;
    assert!(!answers[0].as_ref().unwrap().replayed);
    assert!(answers[1].as_ref().unwrap().replayed);
    assert_eq!(answers[2].as_ref().unwrap_err().reason(), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(answers[3].as_ref().unwrap_err().get("condition"), Some("floor"));
    assert!(!answers[4].as_ref().unwrap().replayed && answers[5].as_ref().unwrap().replayed);
    assert_eq!(client.get::<Product>(&product.id).await.unwrap().stock, 0);
}

#[tokio::test]
async fn workspaces_never_share_a_transaction() {
    let bench = Bench::new().await;
    let clients = [bench.client(), bench.client_in(OTHER)];
    let commits =
        (0..20).map(|number| clients[number % 2].commit(vec![insert(&order("A")), insert(&order("B"))]));
    let commits: Vec<_> = commits.collect();
    let answers = join_all(commits).await;
    let superuser = bench.database.superuser().await.unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    let mixed = "SELECT count(*) FROM (SELECT txid FROM change_log GROUP BY txid
                 HAVING count(DISTINCT workspace_id) > 1) t";
    assert_eq!(superuser.query_one(mixed, &[]).await.unwrap().get::<_, i64>(0), 0);
    let orders = "SELECT count(*) FROM change_log WHERE entity = 'artel.order.v1.Order'";
    assert_eq!(superuser.query_one(orders, &[]).await.unwrap().get::<_, i64>(0), 4);
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

/// Two processes on one database, each with its groups, on the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_persist_sell_the_last_ones_once() {
    let bench = Bench::new().await;
    let copies = [bench.client(), client(&bench.database.persist().await.unwrap(), WORKSPACE)];
    let products: Vec<Product> = (0..5).map(|number| product(&format!("Чай {number}"), 100)).collect();
    copies[0].commit(products.iter().map(insert).collect()).await.unwrap();
    let tasks = (0..64_usize).map(|worker| {
        let (client, products) = (copies[worker % 2].clone(), products.clone());
        tokio::spawn(async move {
            let mut sold = 0;
            for round in 0..10_usize {
                let mut batch: Vec<Mutation> = (0..3)
                    .map(|at| &products[(worker + round + at * (1 + worker % 2)) % 5].id)
                    .map(|id| adjust::<Product>(id, "stock", -1, Some(0)))
                    .collect();
                batch.push(insert(&order(&artel_util::new_id())));
                match client.commit(batch).await {
                    Ok(_) => sold += 3,
                    Err(error) => assert_eq!(error.get("condition"), Some("floor"), "{error:?}"),
                }
            }
            sold
        })
    });
    let sold: i32 = join_all(tasks).await.into_iter().map(Result::unwrap).sum();
    let ids: Vec<String> = products.iter().map(|product| product.id.clone()).collect();
    let left: Vec<Product> = copies[0].get_all(&ids).await;
    assert!(left.iter().all(|product| product.stock >= 0));
    assert_eq!(sold + left.iter().map(|product| product.stock).sum::<i32>(), 500);
    let versions: i64 = left.iter().map(|product| product.version - 1).sum();
    assert_eq!(versions, i64::from(sold), "a sale was lost or counted twice");
}
