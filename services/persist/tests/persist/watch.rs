//! Whoever watches misses nothing, sees nothing twice, and sees the changes of a row in the order in which they happened.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use artel_handle::Service;
use artel_persist::testing::{TestDatabase, alone};
use artel_proto::catalog::Product;
use artel_proto::identity::User;
use artel_proto::persist::{Change, GetRequest, Operation, WatchRequest, WatchResponse};
use artel_proto::{Entity, Message as _};
use artel_util::{Error, new_id};
use futures::future::{join_all, try_join_all};
use tokio_postgres::Client as Postgres;
use tonic::{Code, Streaming};

use crate::broker::Nowhere;
use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(20);

fn from(position: &str) -> WatchRequest {
    WatchRequest { entity: Product::NAME.into(), position: position.into(), ..WatchRequest::default() }
}

struct Watching(Streaming<WatchResponse>);

impl Watching {
    async fn begin(client: &Client, request: WatchRequest) -> Result<Self, Error> {
        Ok(Self(answer(client.grpc.clone().watch(request).await)?))
    }

    /// The next message, with changes or without.
    async fn message(&mut self) -> Result<WatchResponse, Error> {
        let message = tokio::time::timeout(DEADLINE, self.0.message()).await.expect("nothing comes");
        Ok(message?.expect("it ended without a word"))
    }

    /// So many changes at least: those of the messages that bring them.
    async fn changes(&mut self, count: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        while changes.len() < count {
            changes.extend(self.message().await.unwrap().changes);
        }
        changes
    }

    /// The position that the first message says.
    async fn position(&mut self) -> String {
        self.message().await.unwrap().position
    }
}

/// Inserted past persist, as whoever holds a transaction open would.
const LOGGED: &str = "INSERT INTO change_log
    (workspace_id, entity, entity_id, operation, version, ordinal, actor_user, actor_service, trace)
    VALUES ($1::text::uuid, 'artel.catalog.v1.Product', $2::text::uuid, 'update', $3, 0, '', '', '')";

fn versions(changes: &[Change]) -> Vec<i64> {
    changes.iter().map(|change| change.version).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_comes_again_and_again_misses_nothing_and_sees_nothing_twice() {
    const ROWS: usize = 6;
    const CHANGES: i64 = 40;
    let database = TestDatabase::create().await.unwrap();
    // Two copies of persist; who is lost by one goes on with the other.
    let copies = [database.persist().await.unwrap(), database.persist().await.unwrap()];
    let clients = copies.each_ref().map(|service| client(service, WORKSPACE));
    let mut watching = Watching::begin(&clients[0], from("")).await.unwrap();
    let mut position = watching.position().await;

    let products: Vec<Product> = (0..ROWS).map(|row| product(&format!("Чай {row}"), 1_000)).collect();
    let writing = async {
        for (row, product) in products.iter().enumerate() {
            clients[row % 2].commit(vec![insert(product)]).await.unwrap();
        }
        let tasks = (0..8_usize).map(|worker| {
            let (client, products) = (clients[worker % 2].clone(), products.clone());
            tokio::spawn(async move {
                for change in 0..CHANGES * ROWS as i64 / 8 {
                    let one = &products[(worker + change as usize) % ROWS];
                    client.commit(vec![adjust::<Product>(&one.id, "stock", -1, None)]).await.unwrap();
                }
            })
        });
        join_all(tasks).await.into_iter().for_each(Result::unwrap);
    };
    let reading = async {
        let mut seen: HashMap<String, Vec<i64>> = HashMap::new();
        let (mut count, mut visits) = (0, 0_usize);
        while count < ROWS * (CHANGES as usize + 1) {
            // Leaves in the middle of a message, too.
            let taken = 1 + visits % 7;
            for change in watching.changes(1).await.into_iter().take(taken) {
                seen.entry(change.id).or_default().push(change.version);
                position = change.position;
                count += 1;
            }
            visits += 1;
            watching = Watching::begin(&clients[visits % 2], from(&position)).await.unwrap();
        }
        seen
    };
    let (seen, ()) =
        tokio::time::timeout(DEADLINE * 3, futures::future::join(reading, writing)).await.unwrap();
    for product in &products {
        assert_eq!(seen[&product.id], (1..=CHANGES + 1).collect::<Vec<_>>());
    }
}

/// Transactions commit in another order than their numbers and positions say. Beside it the naive way, "greater than
/// the last one seen", which loses the late one.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_commits_late_is_not_skipped_and_holds_nobody_up() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut watching = Watching::begin(&client, from("")).await.unwrap();
    watching.position().await;
    let naive = bench.database.superuser().await.unwrap();
    let greatest = async || -> i64 {
        naive.query_one("SELECT coalesce(max(position), 0) FROM change_log", &[]).await.unwrap().get(0)
    };

    let mut slow = bench.database.superuser().await.unwrap();
    let transaction = slow.transaction().await.unwrap();
    let late = new_id();
    transaction.execute(LOGGED, &[&WORKSPACE, &late, &7_i64]).await.unwrap();
    let tea = product("Чай", 5);
    client.commit(vec![insert(&tea)]).await.unwrap();
    let first = watching.changes(1).await;
    assert_eq!(first.iter().map(|change| &change.id).collect::<Vec<_>>(), [&tea.id]);
    let last_seen = greatest().await;
    transaction.commit().await.unwrap();
    let second = watching.changes(1).await;
    assert_eq!((second[0].id.as_str(), second[0].version), (late.as_str(), 7));
    // Whoever comes with the position from before the late one gets it, too.
    let mut again = Watching::begin(&client, from(&first[0].position)).await.unwrap();
    assert_eq!(again.changes(1).await[0].id, late);
    let sql = "SELECT count(*) FROM change_log WHERE position > $1";
    let found: i64 = naive.query_one(sql, &[&last_seen]).await.unwrap().get(0);
    assert_eq!(found, 0, "the naive way did not skip: this test would not show a fault");
}

/// Of three transactions, the first number changes the row after the third did, while the second still runs. Windows
/// that end at the oldest running transaction hold only the first then, and the order is lost.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_row_come_in_their_order_whatever_else_runs() {
    let bench = Bench::new().await;
    let client = bench.client();
    let mut watching = Watching::begin(&client, from("")).await.unwrap();
    let begin = watching.position().await;
    let mut connections = Vec::new();
    for _ in 0..3 {
        connections.push(bench.database.superuser().await.unwrap());
    }
    let [first, second, third] = &mut connections[..] else { panic!() };
    let first = first.transaction().await.unwrap();
    let one = txid(&first).await;
    let second = second.transaction().await.unwrap();
    let two = txid(&second).await;
    let third = third.transaction().await.unwrap();
    let row = new_id();
    third.execute(LOGGED, &[&WORKSPACE, &row, &1_i64]).await.unwrap();
    let three = txid(&third).await;
    assert!(one < two && two < three);
    third.commit().await.unwrap();
    first.execute(LOGGED, &[&WORKSPACE, &row, &2_i64]).await.unwrap();
    first.commit().await.unwrap();

    // Of this test's transactions the second is the oldest that runs; there may be older ones of others.
    let below = "SELECT version FROM change_log WHERE txid < $1 ORDER BY position";
    let torn = bench.database.superuser().await.unwrap().query(below, &[&two]).await.unwrap();
    let torn: Vec<i64> = torn.iter().map(|row| row.get(0)).collect();
    assert_eq!(torn, [2], "the window does not tear them apart: this test would not show a fault");
    assert_eq!(versions(&watching.changes(2).await), [1, 2]);
    let mut again = Watching::begin(&client, from(&begin)).await.unwrap();
    assert_eq!(versions(&again.changes(2).await), [1, 2]);
    second.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_says_what_was_done_by_whom_and_brings_the_row_where_it_is_asked_for() {
    let bench = Bench::new().await;
    let client = bench.client();
    let (tea, cup) = (product("Чай", 5), product("Чашка", 5));
    let request = WatchRequest { with_body: true, ids: vec![tea.id.clone()], ..from("") };
    let mut watching = Watching::begin(&client, request).await.unwrap();
    watching.position().await;
    client.commit(vec![insert(&tea), insert(&cup)]).await.unwrap();
    let [inserted] = &watching.changes(1).await[..] else { panic!() };
    assert_eq!((inserted.operation(), inserted.version), (Operation::Insert, 1));
    assert_eq!((inserted.actor_user.as_str(), inserted.actor_service.as_str()), ("anna", "order"));
    assert!(inserted.fields.is_empty() && inserted.time.is_some() && inserted.trace.len() == 32);
    let read = Product::decode(inserted.body.clone().unwrap()).unwrap();
    assert_eq!((read.name.as_str(), read.stock), ("Чай", 5));

    let renamed = Product { name: "Чай зелёный".into(), price: rubles(1), ..tea.clone() };
    client.commit(vec![update(&renamed, &["name", "price", "vendor"])]).await.unwrap();
    let [updated] = &watching.changes(1).await[..] else { panic!() };
    assert_eq!(updated.operation(), Operation::Update);
    // The maker is the same as before.
    let mut fields = updated.fields.clone();
    fields.sort_unstable();
    assert_eq!(fields, ["name", "price.amount_minor"]);

    client.commit(vec![adjust::<Product>(&tea.id, "stock", -2, None)]).await.unwrap();
    let [adjusted] = &watching.changes(1).await[..] else { panic!() };
    assert_eq!((adjusted.operation(), &adjusted.fields[..]), (Operation::Adjust, &["stock".to_owned()][..]));
    client.commit(vec![delete::<Product>(&tea.id)]).await.unwrap();
    let [deleted] = &watching.changes(1).await[..] else { panic!() };
    assert_eq!((deleted.operation(), deleted.body.is_some()), (Operation::Delete, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_watches_its_own_and_what_is_global_is_not_watched() {
    let bench = Bench::new().await;
    let (own, other) = (bench.client(), bench.client_in(OTHER));
    let mut watching = Watching::begin(&other, from("")).await.unwrap();
    let position = watching.position().await;
    own.commit(vec![insert(&product("Чай", 5))]).await.unwrap();
    let theirs = product("Чужой", 1);
    other.commit(vec![insert(&theirs)]).await.unwrap();
    assert_eq!(
        watching.changes(1).await.into_iter().map(|change| change.id).collect::<Vec<_>>(),
        std::slice::from_ref(&theirs.id)
    );
    // By itself it reads no more than by the reader.
    for request in [from(&position), WatchRequest { from_beginning: true, ..from("") }] {
        let mut again = Watching::begin(&other, request).await.unwrap();
        let ids: Vec<String> = again.changes(1).await.into_iter().map(|change| change.id).collect();
        assert_eq!(ids, std::slice::from_ref(&theirs.id));
    }
    let request = WatchRequest { entity: User::NAME.into(), ..WatchRequest::default() };
    let error = Watching::begin(&own, request).await.err().unwrap();
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::InvalidArgument, "entity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_watcher_hears_how_far_it_is_and_a_position_that_is_gone_is_refused() {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.watch_mut().heartbeat_ms = 50;
    let service = alone(&settings).await.unwrap();
    let client = client(&service, WORKSPACE);
    let mut watching = Watching::begin(&client, from("")).await.unwrap();
    let begin = watching.position().await;
    // Others change, this one does not.
    client.commit(vec![insert(&order("A-1"))]).await.unwrap();
    let superuser = database.superuser().await.unwrap();
    let horizon = "SELECT max(txid) + 1 FROM change_log";
    let horizon: i64 = superuser.query_one(horizon, &[]).await.unwrap().get(0);
    superuser.execute("UPDATE history SET oldest = $1", &[&horizon]).await.unwrap();
    let refused = async |position: &str| Watching::begin(&client, from(position)).await.err();
    let error = refused(&begin).await.unwrap();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, "POSITION_SWEPT"));
    // It has moved on without a change, and can be lost and come again.
    let moved = async {
        loop {
            let position = watching.message().await.unwrap().position;
            if refused(&position).await.is_none() {
                return position;
            }
        }
    };
    let moved = tokio::time::timeout(DEADLINE, moved).await.unwrap();
    let tea = product("Чай", 5);
    client.commit(vec![insert(&tea)]).await.unwrap();
    let mut again = Watching::begin(&client, from(&moved)).await.unwrap();
    assert_eq!(again.changes(1).await[0].id, tea.id);

    superuser.execute("UPDATE history SET oldest = 0, epoch = epoch + 1", &[]).await.unwrap();
    let error = refused(&moved).await.unwrap();
    assert_eq!((error.code(), error.reason()), (Code::OutOfRange, "POSITION_UNKNOWN"));
    let error = refused("nonsense").await.unwrap();
    assert_eq!((error.code(), error.fields()[0].field.as_str()), (Code::InvalidArgument, "position"));
    let request = WatchRequest { from_beginning: true, ..from(&moved) };
    assert_eq!(Watching::begin(&client, request).await.err().unwrap().code(), Code::InvalidArgument);
}

/// With a channel of two pages of ten rows, and a caller that takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_slow_is_sent_away_and_goes_on_where_it_was() {
    const COUNT: usize = 300;
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    let bounds = settings.watch_mut();
    (bounds.page, bounds.pages, bounds.stall_ms, bounds.most) = (10, 2, 300, 2);
    let service = alone(&settings).await.unwrap();
    let client = client(&service, WORKSPACE);
    let mut slow = Watching::begin(&client, from("")).await.unwrap();
    let mut quick = Watching::begin(&client, from("")).await.unwrap();
    let mut position = slow.position().await;
    let writing = async {
        for _ in 0..COUNT / 10 {
            client.commit((0..10).map(|_| insert(&product("Чай", 1))).collect()).await.unwrap();
        }
    };
    // Others are not held up by it.
    let (seen, ()) = futures::future::join(quick.changes(COUNT), writing).await;
    assert_eq!(seen.len(), COUNT);
    // There is room for another one as soon as the slow one is sent away.
    let room = async |position: &str| loop {
        match Watching::begin(&client, from(position)).await {
            Ok(watching) => break watching,
            // Whoever left before is noticed a moment later.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    drop(tokio::time::timeout(DEADLINE, room("")).await.unwrap());
    let mut ids: Vec<String> = Vec::new();
    let mut cut = 0;
    while ids.len() < COUNT {
        match slow.message().await {
            Ok(message) => {
                ids.extend(message.changes.into_iter().map(|change| change.id));
                position = message.position;
            }
            Err(error) => {
                assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "WATCH_TOO_SLOW"));
                assert!(ids.len() < COUNT / 2, "{} were kept for it", ids.len());
                cut += 1;
                slow = tokio::time::timeout(DEADLINE, room(&position)).await.unwrap();
            }
        }
    }
    assert!(cut > 0, "it was not cut");
    assert_eq!(ids, seen.into_iter().map(|change| change.id).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_limit_to_those_who_watch() {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.watch_mut().most = 2;
    let service = alone(&settings).await.unwrap();
    let client = client(&service, WORKSPACE);
    let first = Watching::begin(&client, from("")).await.unwrap();
    let _second = Watching::begin(&client, from("")).await.unwrap();
    let error = Watching::begin(&client, from("")).await.err().unwrap();
    assert_eq!((error.code(), error.reason()), (Code::ResourceExhausted, "WATCHERS_EXHAUSTED"));
    assert_eq!(error.get("limit"), Some("2"));
    // Who leaves makes room.
    drop(first);
    let room = async |position: &str| loop {
        match Watching::begin(&client, from(position)).await {
            Ok(watching) => break watching,
            // Whoever left before is noticed a moment later.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    drop(tokio::time::timeout(DEADLINE, room("")).await.unwrap());
}

/// Counts what is read of the change log by the role of the API: the policy says each row.
async fn count_reads(superuser: &Postgres) {
    let sql = "CREATE FUNCTION note() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
        BEGIN PERFORM pg_notify('reading', gen_random_uuid()::text); RETURN true; END $$;
        GRANT EXECUTE ON FUNCTION note() TO artel;
        CREATE POLICY note ON change_log AS RESTRICTIVE FOR SELECT TO artel USING (note())";
    superuser.batch_execute(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_watchers_are_one_reader() {
    const WATCHERS: usize = 1_000;
    let bench = Bench::new().await;
    let client = bench.client();
    let begin = (0..WATCHERS).map(|_| Watching::begin(&client, from("")));
    let mut watching = try_join_all(begin).await.unwrap();
    for one in &mut watching {
        one.position().await;
    }
    let superuser = bench.database.superuser().await.unwrap();
    let (listening, mut connection) =
        tokio_postgres::connect(&bench.database.url("artel_owner"), tokio_postgres::NoTls).await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let tokio_postgres::AsyncMessage::Notification(_) = message {
                let _ = tell.send(());
            }
        }
    });
    listening.batch_execute("LISTEN reading").await.unwrap();
    count_reads(&superuser).await;
    let mut ids = HashSet::new();
    for _ in 0..5 {
        let tea = product("Чай", 1);
        client.commit(vec![insert(&tea)]).await.unwrap();
        ids.insert(tea.id.clone());
    }
    let all = watching.iter_mut().map(|one| one.changes(5));
    for changes in join_all(all).await {
        assert_eq!(changes.into_iter().map(|change| change.id).collect::<HashSet<_>>(), ids);
    }
    // What one more that reads by itself notes comes behind all that was noted before.
    let mut last = Watching::begin(&client, WatchRequest { from_beginning: true, ..from("") }).await.unwrap();
    last.changes(5).await;
    let mut reads = 0;
    while let Ok(Some(())) = tokio::time::timeout(Duration::from_secs(1), told.recv()).await {
        reads += 1;
    }
    assert!((5..100).contains(&reads), "{reads} rows were read for {WATCHERS} watchers");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_ending_its_sessions_ends_no_watch() {
    let database = TestDatabase::create().await.unwrap();
    let (service, _relay) = database.relaying(Nowhere).await.unwrap();
    let client = client(&service, WORKSPACE);
    let mut watching = Watching::begin(&client, from("")).await.unwrap();
    watching.position().await;
    let superuser = database.superuser().await.unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..3 {
        superuser.execute(end, &[]).await.unwrap();
        let tea = product("Чай", 1);
        // Who commits is told at once, and comes again.
        while let Err(error) = client.commit(vec![insert(&tea)]).await {
            assert_eq!(error.reason(), "DATABASE_AWAY");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(watching.changes(1).await[0].id, tea.id);
    }
}

/// A way so long that it is walked from seal to seal.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_way_back_is_walked_in_steps() {
    let database = TestDatabase::create().await.unwrap();
    let mut settings = database.settings().unwrap();
    settings.watch_mut().page = 7;
    let service: Service = alone(&settings).await.unwrap();
    let client = client(&service, WORKSPACE);
    let mut ids = Vec::new();
    for round in 0..40 {
        let batch: Vec<Product> = (0..3).map(|_| product("Чай", 1)).collect();
        client.commit(batch.iter().map(insert).collect()).await.unwrap();
        let mut batch: Vec<String> = batch.into_iter().map(|product| product.id).collect();
        batch.sort_unstable();
        ids.extend(batch);
        if round % 3 == 0 && round < 36 {
            database.seal().await.unwrap();
        }
    }
    let request = WatchRequest { from_beginning: true, ..from("") };
    let mut watching = Watching::begin(&client, request).await.unwrap();
    let changes = watching.changes(ids.len()).await;
    assert_eq!(changes.iter().map(|change| change.id.clone()).collect::<Vec<_>>(), ids);
    for at in [0, 5, 6, 7, 50, 118] {
        let mut again = Watching::begin(&client, from(&changes[at].position)).await.unwrap();
        let rest: Vec<String> =
            again.changes(ids.len() - at - 1).await.into_iter().map(|change| change.id).collect();
        assert_eq!(rest, ids[at + 1..]);
    }
}

/// The rows of one page of changes are more than an answer of Get may hold.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_no_single_answer_holds_come_all_the_same() {
    const SIZE: usize = 200_000;
    let bench = Bench::new().await;
    let client = bench.client();
    let mut watching = Watching::begin(&client, from("")).await.unwrap();
    let position = watching.position().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let teas: Vec<Product> = (0..50)
            .map(|number| Product {
                description: "x".repeat(SIZE), ..product(&format!("Чай {number}"), 1)
            })
            .collect();
        client.commit(teas.iter().map(insert).collect()).await.unwrap();
        ids.extend(teas.into_iter().map(|tea| tea.id));
    }
    let all = GetRequest { entity: Product::NAME.into(), ids: ids.clone(), ..GetRequest::default() };
    let error = answer(client.grpc.clone().get(all).await).unwrap_err();
    assert_eq!(error.reason(), "ANSWER_TOO_LARGE");
    let mut again =
        Watching::begin(&client, WatchRequest { with_body: true, ..from(&position) }).await.unwrap();
    let mut open: HashSet<String> = ids.into_iter().collect();
    for change in again.changes(open.len()).await {
        let tea = Product::decode(change.body.unwrap()).unwrap();
        assert_eq!(tea.description.len(), SIZE);
        assert!(open.remove(&tea.id));
    }
    assert!(open.is_empty());
}
