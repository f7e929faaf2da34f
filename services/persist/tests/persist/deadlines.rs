//! A deadline travels: through a chain of services, each over HTTP/2 behind the whole stack, to the statement at its end.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use artel_client::{Call, Channel};
use artel_handle::Service;
use artel_handle::testing::LocalMesh;
use artel_proto::Limited;
use artel_proto::order::OrderPlaced;
use artel_proto::persist::CommitRequest;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_repo::Commit;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};

use crate::support::*;

/// How long the caller waits, and how much later everybody must have given up on a busy machine.
const PATIENCE: Duration = Duration::from_millis(300);
const SLACK: Duration = Duration::from_millis(1500);

/// A service that does nothing by itself: it asks the next one the same, on behalf of whoever asked it.
#[derive(Clone)]
struct Forward {
    name: &'static str,
    next: Channel,
    seen: Seen,
}

/// How much time each service was left when it was asked, and when its work for the request ended.
type Seen = Arc<Mutex<Vec<Work>>>;

struct Work {
    name: &'static str,
    left: Duration,
    ended: Option<Instant>,
}

/// Notes the end of the work however it comes: with an answer, or dropped because nobody waits any more.
struct Ending {
    seen: Seen,
    number: usize,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.seen.lock().unwrap()[self.number].ended = Some(Instant::now());
    }
}

impl NamedService for Forward {
    const NAME: &'static str = "artel.persist.v1.PersistService";
}

impl Limited for Forward {}

impl tower_service::Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut next = self.next.clone();
        // The stack made it of the caller's headers; the channel to the next service takes it from there.
        let left = request.extensions().get::<Call>().unwrap().time_left(Duration::MAX);
        let mut seen = self.seen.lock().unwrap();
        seen.push(Work { name: self.name, left, ended: None });
        let ending = Ending { seen: Arc::clone(&self.seen), number: seen.len() - 1 };
        Box::pin(async move {
            let answer = next.call(request).await;
            drop(ending);
            Ok(answer.map_or_else(Status::into_http, |answer| answer.map(Body::new)))
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_four_gives_up_in_time_and_so_does_the_statement_at_its_end() {
    let bench = Bench::new().await;
    let mesh = LocalMesh::start("").await.unwrap();
    mesh.serve(bench.database.persist().await.unwrap()).await.unwrap();
    let seen = Seen::default();
    for (name, next) in [("third", "persist"), ("second", "third"), ("first", "second")] {
        let forward = Forward { name, next: mesh.host(name).channel(next), seen: Arc::clone(&seen) };
        mesh.serve(Service::new(name).grpc(forward)).await.unwrap();
    }
    let host = mesh.host("order");
    let client = PersistServiceClient::new(host.channel("first"));
    let commit = |patience: Option<Duration>| {
        let mut call = host.call();
        call.deadline = patience.map(|patience| Instant::now() + patience);
        let mut client = client.clone();
        let product = product("Чай", 5);
        let mutations = vec![insert(&product)];
        async move { client.commit(call.request(CommitRequest { mutations, ..Default::default() })).await }
    };
    // Connections are made and plans are known.
    commit(None).await.unwrap();

    // Every statement on the table waits from now on.
    let superuser = bench.database.superuser().await.unwrap();
    let watching = bench.database.superuser().await.unwrap();
    superuser.batch_execute("BEGIN; LOCK TABLE products").await.unwrap();
    let waiting = async || -> Vec<i32> {
        let waiting = "SELECT pid FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock' AND state = 'active'";
        watching.query(waiting, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };

    seen.lock().unwrap().clear();
    let begin = Instant::now();
    let calling = tokio::spawn(commit(Some(PATIENCE)));
    let mut pids = Vec::new();
    while pids.is_empty() {
        assert!(begin.elapsed() < PATIENCE + SLACK, "the statement never waited");
        pids = waiting().await;
    }
    let status = calling.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let caller = begin.elapsed();
    assert!((PATIENCE / 2..PATIENCE + SLACK).contains(&caller), "the caller gave up after {caller:?}");

    // The statement ended by PostgreSQL's own timeout: the connection it ran on lives on, and the lock is still held.
    while !waiting().await.is_empty() {
        assert!(begin.elapsed() < PATIENCE + SLACK, "the statement waits on after {:?}", begin.elapsed());
    }
    let statement = begin.elapsed();
    let alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1";
    let alive: i64 = watching.query_one(alive, &[&pids[0]]).await.unwrap().get(0);
    assert_eq!(alive, 1, "the statement was cut off with its connection");

    while seen.lock().unwrap().iter().any(|work| work.ended.is_none()) {
        assert!(begin.elapsed() < PATIENCE + SLACK, "somebody works on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    {
        let seen = seen.lock().unwrap();
        let mut before = PATIENCE;
        let names: Vec<_> = seen.iter().map(|work| work.name).collect();
        assert_eq!(names, ["first", "second", "third"], "a call was tried again past its deadline");
        for Work { name, left, ended } in seen.iter() {
            let ended = ended.unwrap() - begin;
            println!("{name}: {left:?} left, gave up after {ended:?}");
            assert!(*left <= before, "{name} had more time than its caller: {left:?} of {before:?}");
            assert!(ended < PATIENCE + SLACK, "{name} gave up after {ended:?}");
            before = *left;
        }
    }
    println!("caller {caller:?}, statement {statement:?}");

    // The control: who sets no deadline waits on, and is answered when the lock goes.
    let patient = tokio::spawn(commit(None));
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE * 3 || waiting().await.is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(8), "the patient statement never waited");
        assert!(!patient.is_finished(), "gave up without a deadline");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    superuser.batch_execute("COMMIT").await.unwrap();
    patient.await.unwrap().unwrap();
}

/// What is told only while the caller waits carries the caller's deadline to its listeners, who drop it after that.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_told_in_time_expires_with_the_call_that_caused_it() {
    let bench = Bench::new().await;
    let mesh = LocalMesh::start("").await.unwrap();
    mesh.serve(bench.database.persist().await.unwrap()).await.unwrap();
    let host = mesh.host("order");
    let event = |order_id: &str| OrderPlaced { order_id: order_id.into(), ..OrderPlaced::default() };
    let mut call = host.call();
    call.deadline = Some(Instant::now() + Duration::from_secs(10));
    let commit = Commit::new().publish_in_time(&event("timed")).publish(&event("kept"));
    host.repo().commit(&call, commit).await.unwrap();
    // The control: who sets no deadline sets no end.
    host.repo().commit(&host.call(), Commit::new().publish_in_time(&event("open"))).await.unwrap();
    let database = bench.database.superuser().await.unwrap();
    let left = "SELECT key, extract(epoch FROM expire_time - now())::float8 FROM outbox";
    let rows = database.query(left, &[]).await.unwrap();
    let left =
        |key: &str| -> Option<f64> { rows.iter().find(|row| row.get::<_, &str>(0) == key).unwrap().get(1) };
    assert!((1.0..=10.0).contains(&left("timed").unwrap()), "{:?}", left("timed"));
    assert_eq!((left("kept"), left("open")), (None, None));
}
