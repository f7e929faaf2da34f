//! Past events go to one service once more, and are done once more only where the operator wants it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use artel_client::{Call, User};
use artel_config::Secret;
use artel_handle::Service;
use artel_handle::testing::{Direct, direct};
use artel_persist::testing::TestDatabase;
use artel_proto::catalog::Product;
use artel_proto::order::OrderCancelled;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{CancelReplayRequest, CommitRequest, ReplayRequest, ReplayResponse};
use artel_queue::{Broker, Failure, Handler, Listener, Message, Publisher, Subscription, Topology};
use artel_util::{Error, new_id};
use tokio_postgres::Client as Postgres;
use tonic::Code;

use crate::broker::Memory;
use crate::support::*;

const EVENTS: usize = 250;
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes one of the stock for each event, once for each id, as listeners do.
#[derive(Clone)]
struct Takes {
    service: &'static str,
    client: Client,
    product: String,
    heard: Arc<Mutex<Vec<Message>>>,
}

#[tonic::async_trait]
impl Handler for Takes {
    async fn handle(&self, message: &Message) -> Result<(), Failure> {
        let request = CommitRequest {
            mutations: vec![adjust::<Product>(&self.product, "stock", -1, Some(0))],
            idempotency: once(&format!("event/{}/{}", self.service, message.event.id), b"d", b""),
            ..CommitRequest::default()
        };
        self.client.send(request).await?;
        self.heard.lock().unwrap().push(message.clone());
        Ok(())
    }
}

impl Takes {
    async fn of(service: &'static str, client: &Client) -> Self {
        let product = product("Чай", 10_000);
        client.commit(vec![insert(&product)]).await.unwrap();
        Self { service, client: client.clone(), product: product.id, heard: Arc::default() }
    }

    async fn listen(&self, broker: &Broker, topology: &Topology) -> Listener {
        let subscription = Subscription::new(self.service, ["order.placed", "order.cancelled"]);
        let publisher = Publisher::connect(broker, topology);
        let listener = Listener::start(broker, topology, subscription, publisher, self.clone());
        let mut connected = listener.connected();
        tokio::time::timeout(PATIENCE, connected.wait_for(|connected| *connected)).await.unwrap().unwrap();
        listener
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    async fn hears(&self, count: usize) {
        eventually(&format!("{} to hear {count}, not {}", self.service, self.count()), || {
            self.count() >= count
        })
        .await;
        assert_eq!(self.count(), count, "{} heard too much", self.service);
    }

    async fn taken(&self) -> i32 {
        10_000 - self.client.get::<Product>(&self.product).await.unwrap().stock
    }
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"));
}

fn client_as(service: &Service, name: &str) -> PersistServiceClient<Direct> {
    let mut call = Call::by_service(name, WORKSPACE);
    call.user = Some(User { id: "boris".into(), roles: vec![name.to_owned()], locale: "en".into() });
    PersistServiceClient::new(direct(service, call))
}

fn to(service: &str) -> ReplayRequest {
    ReplayRequest {
        replay_id: new_id(),
        service: service.into(),
        events: vec!["order.placed".into()],
        ..ReplayRequest::default()
    }
}

/// Replays to the end of the stream, and gives the last of it.
async fn replay(
    operator: &PersistServiceClient<Direct>,
    request: &ReplayRequest,
) -> Result<ReplayResponse, Error> {
    let mut stream = operator.clone().replay(request.clone()).await.map_err(Error::from)?.into_inner();
    let mut last = ReplayResponse::default();
    while let Some(progress) = stream.message().await.map_err(Error::from)? {
        last = progress;
    }
    Ok(last)
}

/// Until it is written down that everything is published: only that is replayed.
async fn noted(postgres: &Postgres) {
    let open = "SELECT count(*) FROM relay WHERE oldest <= (SELECT max(txid) FROM outbox)";
    for _ in 0..600 {
        if postgres.query_one(open, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the relay does not write down how far it is");
}

async fn tell(client: &Client) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..EVENTS {
        ids.extend(client.send(placed(&format!("key {}", number % 7))).await.unwrap().event_ids);
    }
    let cancelled = OrderCancelled { order_id: "k".into(), ..OrderCancelled::default() };
    let request = CommitRequest { events: vec![happened(&cancelled)], ..CommitRequest::default() };
    ids.extend(client.send(request).await.unwrap().event_ids);
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_came_later_hears_what_happened_before_and_nobody_else_does() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = std::env::var("ARTEL_TEST_RABBITMQ").unwrap();
    let broker = Broker::new(&Secret::new(url.as_str()), "artel-persist test").unwrap();
    let topology = Topology::default().with_prefix(format!("test-{}", new_id())).with_retries([]);
    let publisher = Publisher::connect(&broker, &topology);
    publisher.ready(PATIENCE).await.unwrap();
    let database = TestDatabase::create().await.unwrap();
    let (service, _relay) = database.relaying(publisher).await.unwrap();
    let (client, operator) = (client(&service, WORKSPACE), client_as(&service, "operator"));
    let (early, late) = (Takes::of("early", &client).await, Takes::of("late", &client).await);
    let _early = early.listen(&broker, &topology).await;
    tell(&client).await;
    early.hears(EVENTS + 1).await;
    let postgres = database.superuser().await.unwrap();
    noted(&postgres).await;
    // All but the last twenty are almost a week old.
    let age = "UPDATE outbox SET time = time - interval '6 days 23 hours'
        WHERE position < (SELECT position FROM outbox WHERE name = 'order.placed' ORDER BY position DESC OFFSET 19 LIMIT 1)";
    postgres.batch_execute(age).await.unwrap();

    assert_eq!(replay(&operator, &to("late")).await.unwrap_err().reason(), "NO_QUEUE");
    let _late = late.listen(&broker, &topology).await;
    let first = to("late");
    let dry = ReplayRequest { dry_run: true, ..first.clone() };
    let found = replay(&operator, &dry).await.unwrap();
    assert_eq!((found.found_count, found.sent_count, late.count()), (EVENTS as i64, 0, 0));
    let yesterday = artel_util::time::after(chrono::TimeDelta::days(-1));
    let young = ReplayRequest { start_time: Some(yesterday), ..dry.clone() };
    assert_eq!(replay(&operator, &young).await.unwrap().found_count, 20);
    let old = ReplayRequest { end_time: Some(yesterday), ..dry.clone() };
    assert_eq!(replay(&operator, &old).await.unwrap().found_count, EVENTS as i64 - 20);
    let elsewhere = ReplayRequest { workspace_id: OTHER.into(), ..dry };
    assert_eq!(replay(&operator, &elsewhere).await.unwrap().found_count, 0);

    let done = replay(&operator, &first).await.unwrap();
    assert_eq!((done.found_count, done.sent_count, done.done), (EVENTS as i64, EVENTS as i64, true));
    late.hears(EVENTS).await;
    assert_eq!(late.taken().await, EVENTS as i32);
    {
        let (late, early) = (late.heard.lock().unwrap(), early.heard.lock().unwrap());
        assert!(
            late.iter().all(
                |message| message.event.replay == first.replay_id && message.event.name == "order.placed"
            )
        );
        for key in 0..7 {
            let key = format!("key {key}");
            let of = |all: &[Message]| -> Vec<String> {
                all.iter()
                    .filter(|message| message.event.key == key)
                    .map(|message| message.event.id.clone())
                    .collect()
            };
            assert_eq!(of(&late), of(&early), "events of one key keep their order and their ids");
        }
        assert!(early.iter().all(|message| message.event.replay.is_empty()));
    }

    // The same again does nothing; another one is heard, and changes nothing; a forced one does it all once more, once.
    assert!(replay(&operator, &first).await.unwrap().done);
    replay(&operator, &to("late")).await.unwrap();
    late.hears(2 * EVENTS).await;
    assert_eq!(late.taken().await, EVENTS as i32);
    let forced = ReplayRequest { force: true, ..to("late") };
    for _ in 0..2 {
        assert_eq!(replay(&operator, &forced).await.unwrap().sent_count, EVENTS as i64);
        late.hears(3 * EVENTS).await;
        assert_eq!(late.taken().await, 2 * EVENTS as i32);
    }
    early.hears(EVENTS + 1).await;

    // Who had it done stands in the change log.
    let log =
        "SELECT operation, actor_user, actor_service, after ->> 'service', after ->> 'status' FROM change_log
        WHERE entity = 'artel.persist.v1.Replay' AND entity_id = $1::text::uuid ORDER BY version";
    let rows = postgres.query(log, &[&forced.replay_id]).await.unwrap();
    let row =
        |index: usize| (0..5).map(|column| rows[index].get::<_, Option<String>>(column)).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(row(0), [some("insert"), some("boris"), some("operator"), some("late"), None]);
    assert_eq!(row(1), [some("update"), some("boris"), some("operator"), None, some("done")]);
    clean(&url, &topology).await;
}

async fn clean(url: &str, topology: &Topology) {
    let connection = lapin::Connection::connect(url, Default::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    for service in ["early", "late"] {
        for queue in [topology.queue(service), topology.dead_queue(service)] {
            channel.queue_delete(queue.into(), Default::default()).await.unwrap();
        }
    }
    channel.exchange_delete(topology.exchange().into(), Default::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_was_interrupted_goes_on_and_one_that_was_cancelled_does_not() {
    let database = TestDatabase::create().await.unwrap();
    let broker = Memory::default();
    let (service, _relay) = database.relaying(broker.clone()).await.unwrap();
    let (client, operator) = (client(&service, WORKSPACE), client_as(&service, "operator"));
    let ids = tell(&client).await;
    broker.wait_for(&ids).await;
    noted(&database.superuser().await.unwrap()).await;
    let resent = || -> Vec<String> {
        broker.0.lock().unwrap().resent.iter().map(|(_, event)| event.id.clone()).collect()
    };

    let request = to("late");
    broker.0.lock().unwrap().fail_after = vec![30];
    assert_eq!(replay(&operator, &request).await.unwrap_err().reason(), "REPLAY_INTERRUPTED");
    assert_eq!(resent().len(), 30);
    // Two go on with it at once: one sends, the other watches.
    let (one, other) = tokio::join!(replay(&operator, &request), replay(&operator, &request));
    assert_eq!((one.unwrap().sent_count, other.unwrap().sent_count), (EVENTS as i64, EVENTS as i64));
    assert_eq!(resent(), ids[..EVENTS], "each once and in order");

    let other = ReplayRequest { force: true, ..request.clone() };
    assert_eq!(replay(&operator, &other).await.unwrap_err().reason(), "REPLAY_ID_REUSED");
    let cancel = async |id: &str| {
        let request = CancelReplayRequest { replay_id: id.into() };
        answer(operator.clone().cancel_replay(request).await)
    };
    assert!(!cancel(&request.replay_id).await.unwrap().cancelled, "it was done");
    assert_eq!(cancel(&new_id()).await.unwrap_err().reason(), "REPLAY_NOT_FOUND");

    broker.0.lock().unwrap().fail_after = vec![30];
    let request = to("late");
    assert_eq!(replay(&operator, &request).await.unwrap_err().reason(), "REPLAY_INTERRUPTED");
    let left = cancel(&request.replay_id).await.unwrap();
    assert!(left.cancelled && left.sent_count == 30);
    let last = replay(&operator, &request).await.unwrap();
    assert!(last.cancelled && !last.done && last.sent_count == 30);
    assert_eq!(resent().len(), EVENTS + 30);
}

#[tokio::test]
async fn only_operators_replay_and_what_they_ask_for_is_checked() {
    let database = TestDatabase::create().await.unwrap();
    let (service, _relay) = database.relaying(Memory::default()).await.unwrap();
    for name in ["order", "persist", ""] {
        let stranger = client_as(&service, name);
        let error = replay(&stranger, &to("late")).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::PermissionDenied, "OPERATOR_ONLY"));
        let cancel = CancelReplayRequest { replay_id: new_id() };
        let error = answer(stranger.clone().cancel_replay(cancel).await).unwrap_err();
        assert_eq!(error.reason(), "OPERATOR_ONLY");
    }
    let operator = client_as(&service, "operator");
    let now = artel_util::time::now();
    for (wrong, field) in [
        (
            ReplayRequest { events: vec!["order.placed".into(), "order.eaten".into()], ..to("late") },
            "events[1]",
        ),
        (ReplayRequest { start_time: Some(now), end_time: Some(now), ..to("late") }, "endTime"),
    ] {
        assert_eq!(replay(&operator, &wrong).await.unwrap_err().fields()[0].field, field);
    }
    let count = "SELECT count(*) FROM replay";
    let row = database.superuser().await.unwrap().query_one(count, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0, "what was refused changed something");
}
