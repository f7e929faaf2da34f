//! Overload: what is asked of a service is five times what it can do. In a time of its own, so that it is the same on
//! every machine.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use artel_client::{CALL_HEADER, Call, User};
use artel_proto::catalog::Product;
use artel_proto::order::order_service_server::OrderService;
use artel_proto::persist::{WatchRequest, WatchResponse};
use artel_proto::{CheckedCodec, Entity as _, Limited};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{Pending, pending};
use http::{Request as HttpRequest, Response as HttpResponse};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::admission::Bounds;
use crate::api::Apis;
use crate::asked_tests::Asked;
use crate::stack_tests::{Bench, PLENTY};

/// Eight at a time, 50 ms each: 160 calls a second.
const PLACES: usize = 8;
const WORK: Duration = Duration::from_millis(50);
/// How long a caller waits.
const PATIENCE: &str = "400m";
/// What is asked a second: five times as much.
const OFFERED: u32 = 800;

/// A service that works on a few calls at a time; the others wait inside it, unseen. Counts the calls that it was asked.
fn slow(asked: Arc<AtomicUsize>) -> impl OrderService {
    let places = Arc::new(Semaphore::new(PLACES));
    Asked(move || {
        asked.fetch_add(1, Ordering::Relaxed);
        let places = Arc::clone(&places);
        async move {
            let _place = places.acquire().await.unwrap();
            tokio::time::sleep(WORK).await;
        }
    })
}

/// A slow service behind the stack.
struct Overload {
    bench: Arc<Bench>,
    asked: Arc<AtomicUsize>,
}

/// The header that says who calls.
type Caller = (&'static str, String);

/// What became of the calls of one kind.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    asked: u32,
    answered: u32,
    refused: u32,
    late: u32,
}

impl Overload {
    async fn of(bounds: Bounds) -> Self {
        let asked = Arc::<AtomicUsize>::default();
        Self { bench: Arc::new(Bench::over(slow(Arc::clone(&asked)), bounds).await), asked }
    }

    /// What a service shows that asks for a person.
    fn signed(&self, service: &str) -> String {
        let user = User { id: "anna".into(), roles: Vec::new(), locale: "ru".into() };
        let call = Call { user: Some(user), ..Call::by_service(service, "w") };
        self.bench.calls.sign(service, &call).unwrap()
    }

    /// A call.
    fn call(&self, caller: &Caller) -> impl Future<Output = Result<(), Status>> + Send + 'static {
        let (bench, (name, value)) = (Arc::clone(&self.bench), caller.clone());
        async move { bench.get(&[(name, &value), ("grpc-timeout", PATIENCE)]).await.map(drop) }
    }

    /// Who calls: that service, or a person from outside where there is none.
    fn caller(&self, service: Option<&str>) -> Caller {
        match service {
            Some(service) => (CALL_HEADER, self.signed(service)),
            None => ("authorization", format!("Bearer {}", self.bench.token(|_, _| {}))),
        }
    }

    /// Calls come at an even pace for a time, whatever becomes of them. Counted are those after the first second, in
    /// which the service finds out.
    async fn offer(&self, service: Option<&str>, a_second: u32, time: Duration) -> Tally {
        let begin = Instant::now();
        let warm = Duration::from_secs(1);
        let mut pace = tokio::time::interval(Duration::from_secs(1) / a_second);
        let (mut calls, caller) = (JoinSet::new(), self.caller(service));
        while begin.elapsed() < warm + time {
            pace.tick().await;
            let (call, counted) = (self.call(&caller), begin.elapsed() > warm);
            calls.spawn(async move { (call.await, counted) });
        }
        let mut tally = Tally::default();
        for (ended, counted) in calls.join_all().await {
            if !counted {
                continue;
            }
            tally.asked += 1;
            match ended.map_err(|status| (status.code(), artel_util::Error::from(status))) {
                Ok(()) => tally.answered += 1,
                Err((Code::ResourceExhausted, error)) => {
                    assert_eq!(error.reason(), "OVERLOADED");
                    assert!(error.wait().is_some(), "no word of when to try again");
                    tally.refused += 1;
                }
                Err((Code::DeadlineExceeded, _)) => tally.late += 1,
                Err((code, error)) => panic!("{code:?} {error}"),
            }
        }
        tally
    }

    /// What it does with as many callers as it has places, who wait for each answer.
    async fn peak(&self, time: Duration) -> f64 {
        let begin = Instant::now();
        let mut callers = JoinSet::new();
        let token = self.signed("notify");
        for _ in 0..PLACES {
            let (bench, token) = (Arc::clone(&self.bench), token.clone());
            callers.spawn(async move {
                let mut answered = 0_u32;
                while begin.elapsed() < time {
                    bench.get(&[(CALL_HEADER, &token)]).await.unwrap();
                    answered += 1;
                }
                answered
            });
        }
        f64::from(callers.join_all().await.iter().sum::<u32>()) / begin.elapsed().as_secs_f64()
    }

    /// Asks for its health all the time; how long the slowest answer took.
    async fn health(&self, time: Duration) -> Duration {
        let begin = Instant::now();
        let mut slowest = Duration::ZERO;
        while begin.elapsed() < time {
            let asked = Instant::now();
            let request = HealthCheckRequest { service: "order".into() };
            let path = "/grpc.health.v1.Health/Check";
            let answer: HealthCheckResponse = self.bench.call_path(path, &[], &request).await.unwrap();
            assert_eq!(answer.status, 1, "serving");
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        slowest
    }
}

const TIME: Duration = Duration::from_secs(3);

fn bounds() -> Bounds {
    Bounds { most: 1024, streams: 16, least: 8, latency: Duration::from_millis(100), factor: 3.0, edge: 0.75 }
}

/// The part of `peak` answers a second that these are.
fn part(tally: Tally, peak: f64) -> f64 {
    f64::from(tally.answered) / TIME.as_secs_f64() / peak
}

#[tokio::test(start_paused = true)]
async fn five_times_too_much_is_shed_and_what_can_be_done_is_done() {
    let overload = Overload::of(bounds()).await;
    let peak = overload.peak(Duration::from_secs(1)).await;
    let before = overload.asked.load(Ordering::Relaxed);
    let (tally, operator, health) = tokio::join!(
        overload.offer(None, OFFERED, TIME),
        overload.offer(Some("operator"), 5, TIME),
        overload.health(TIME),
    );
    println!("peak {peak:.0}/s; {tally:?}; operator {operator:?}; slowest health check {health:?}");
    assert!(part(tally, peak) > 0.8, "{tally:?} of {peak}/s");
    assert!(tally.refused > tally.asked / 2, "{tally:?}");
    // Nothing was done for those refused.
    let asked = overload.asked.load(Ordering::Relaxed) - before;
    assert!(asked < (tally.asked + operator.asked) as usize, "{asked} came to the handler");
    assert_eq!((operator.refused, operator.answered), (0, operator.asked), "{operator:?}");
    assert!(health < Duration::from_secs(1), "{health:?}");
}

/// The control: without bounds the same calls wait inside until nobody waits for them any more.
#[tokio::test(start_paused = true)]
async fn without_shedding_the_same_load_is_answered_to_nobody() {
    let overload = Overload::of(PLENTY).await;
    let peak = overload.peak(Duration::from_secs(1)).await;
    let tally = overload.offer(None, OFFERED, TIME).await;
    println!("peak {peak:.0}/s; {tally:?}");
    assert!(part(tally, peak) < 0.5, "{tally:?} of {peak}/s");
    assert!(tally.late > tally.asked / 2, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_let_in_already_goes_before_what_comes_from_outside() {
    let overload = Overload::of(bounds()).await;
    overload.peak(Duration::from_millis(500)).await;
    let (edge, inside) =
        tokio::join!(overload.offer(None, OFFERED, TIME), overload.offer(Some("notify"), 60, TIME));
    println!("edge {edge:?}; inside {inside:?}");
    assert!(f64::from(inside.answered) > 0.95 * f64::from(inside.asked), "{inside:?}");
    assert!(edge.refused > edge.asked / 2, "{edge:?}");
}

/// Latency that is a method's own is no sign of overload, and neither is a crowd that is served at once.
#[tokio::test(start_paused = true)]
async fn nobody_is_refused_while_nobody_waits_for_another() {
    let overload = Overload::of(Bounds { latency: Duration::from_millis(1), ..bounds() }).await;
    // Eight at a time is what it can do, and usual: 50 ms.
    overload.peak(Duration::from_millis(500)).await;
    let caller = overload.caller(None);
    // Eighteen at once take up to three times that.
    for _ in 0..10 {
        let calls: JoinSet<_> = (0..18).map(|_| overload.call(&caller)).collect();
        for ended in calls.join_all().await {
            ended.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_allowed_are_refused() {
    let overload = Overload::of(Bounds { most: 4, least: 4, edge: 1.0, ..bounds() }).await;
    let caller = overload.caller(None);
    let calls: JoinSet<_> = (0..10).map(|_| overload.call(&caller)).collect();
    let (answered, refused): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((answered.len(), refused.len()), (4, 6));
    // Those who have gone make room.
    overload.call(&caller).await.unwrap();
}

/// Tells nothing, for ever.
#[derive(Clone)]
struct Endless;

impl NamedService for Endless {
    const NAME: &'static str = "artel.persist.v1.PersistService";
}

impl Limited for Endless {}

impl tower_service::Service<HttpRequest<Body>> for Endless {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Self::Future {
        let codec = CheckedCodec::<WatchResponse, WatchRequest>::default();
        async move { Ok(Grpc::new(codec).server_streaming(Self, request).await) }.boxed()
    }
}

impl ServerStreamingService<WatchRequest> for Endless {
    type Response = WatchResponse;
    type ResponseStream = Pending<Result<WatchResponse, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<WatchRequest>) -> Self::Future {
        std::future::ready(Ok(Response::new(pending())))
    }
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_one_that_ends_makes_room() {
    let bench = Bench::of(Apis::default().with(Endless), Bounds { streams: 3, ..PLENTY }).await;
    let open = async |service: &str| {
        let token = bench.calls.sign(service, &Call::by_service(service, "w")).unwrap();
        let request = WatchRequest { entity: Product::NAME.into(), ..Default::default() };
        bench.ask("/artel.persist.v1.PersistService/Watch", &[(CALL_HEADER, &token)], &request).await
    };
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(open("notify").await.unwrap());
    }
    let refused = open("notify").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(artel_util::reason(&refused).as_deref(), Some("OVERLOADED"));
    streams.push(open("operator").await.unwrap());
    // The operator's counts as well.
    drop(streams.split_off(2));
    streams.push(open("notify").await.unwrap());
    open("notify").await.unwrap_err();
    // The control: it is the bound that refuses them.
    let bench = Bench::of(Apis::default().with(Endless), PLENTY).await;
    let token = bench.calls.sign("notify", &Call::by_service("notify", "w")).unwrap();
    let request = WatchRequest { entity: Product::NAME.into(), ..Default::default() };
    for _ in 0..10 {
        let path = "/artel.persist.v1.PersistService/Watch";
        streams.push(bench.ask(path, &[(CALL_HEADER, &token)], &request).await.unwrap());
    }
}

/// How many of 100 calls that come at once, a second of work, are refused.
async fn refused_by_a_hog(latency: Duration, service: &str) -> usize {
    // Computes and never waits: while it does, nobody else on its thread is looked at.
    let hog = Asked(|| async { std::thread::sleep(Duration::from_millis(10)) });
    let bench = Arc::new(Bench::over(hog, Bounds { latency, ..PLENTY }).await);
    let user = User { id: "anna".into(), roles: Vec::new(), locale: "ru".into() };
    let call = Call { user: Some(user), ..Call::by_service(service, "w") };
    let token = match service {
        "" => ("authorization", format!("Bearer {}", bench.token(|_, _| {}))),
        service => (CALL_HEADER, bench.calls.sign(service, &call).unwrap()),
    };
    // The first look is begun.
    tokio::task::yield_now().await;
    let calls: JoinSet<_> = (0..100)
        .map(|_| {
            let (bench, (name, value)) = (Arc::clone(&bench), token.clone());
            async move { bench.get(&[(name, &value)]).await.map(drop) }
        })
        .collect();
    let ended = calls.join_all().await;
    let refused = ended.iter().filter_map(|ended| ended.as_ref().err());
    refused.inspect(|status| assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}")).count()
}

#[tokio::test]
async fn what_waited_long_for_a_processor_is_shed_however_quick_its_handler_is() {
    let short = Duration::from_millis(100);
    assert!(refused_by_a_hog(short, "").await > 10);
    assert_eq!(refused_by_a_hog(short, "operator").await, 0);
    // The control: its own time tells nothing of it.
    assert_eq!(refused_by_a_hog(Duration::from_secs(3600), "").await, 0);
}
