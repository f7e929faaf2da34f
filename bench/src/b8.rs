//! B8: 10,000 idle server streams at one service: what each costs it, and how long it takes to tell all of them something.
//! The streams are those of a method of the contracts, behind the whole stack; what is told is one change.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as Poller, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use artel_client::CallKey;
use artel_config::Config;
use artel_handle::{Blueprint, Host, Service};
use artel_proto::catalog::Product;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{Change, WatchRequest, WatchResponse};
use artel_proto::{CheckedCodec, Entity as _, Limited};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, ServerStreamingService};
use tonic::{Request, Response, Status};

use crate::figures::Setting;
use crate::memory::Memory;
use crate::process::{Process, free_port};
use crate::report::{Outcome, Verdict};
use crate::rounds::median;
use crate::store::{Signed, endpoint, product_id};

/// As many as a server allows on a connection by default.
const PER_CONNECTION: u32 = 200;
const CONNECTIONS: u32 = 50;
const STREAMS: u32 = PER_CONNECTION * CONNECTIONS;
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let address = free_port()?;
    std::fs::create_dir_all(&setting.folder)?;
    let variables = [
        ("ARTEL_MESH__BIND", address.to_string()),
        ("ARTEL_MESH__CONSUL", "http://127.0.0.1:9".to_owned()),
        ("ARTEL_MESH__MESH_KEY", SECRET.to_owned()),
        ("ARTEL_MESH__LOG", "warn".to_owned()),
    ];
    let mut server = Process::ourselves("streams", &["role", "streams"], &variables, &setting.folder)?;
    server.listens(address).await?;
    let heard = Arc::new(Heard::default());
    let before = Memory::of(server.pid())?.resident;
    let signed = Signed::by(&CallKey::new(SECRET)?)?;
    for _ in 0..CONNECTIONS {
        let channel = endpoint(address)?.connect().await?;
        let client = PersistServiceClient::with_interceptor(channel, signed.clone());
        for _ in 0..PER_CONNECTION {
            let mut client = client.clone();
            let heard = Arc::clone(&heard);
            let request = WatchRequest { entity: Product::NAME.to_owned(), ..WatchRequest::default() };
            let mut stream = client.watch(request).await?.into_inner();
            tokio::spawn(async move {
                while let Ok(Some(_)) = stream.message().await {
                    heard.one();
                }
            });
        }
    }
    heard.all(STREAMS).await?;
    let each = (Memory::of(server.pid())?.resident - before) * 1024.0 / f64::from(STREAMS);
    println!("  B8  {STREAMS} streams on {CONNECTIONS} connections: {each:.2} KB each");

    let pid = Pid::from_raw(i32::try_from(server.pid())?).context("no process")?;
    let mut times = Vec::new();
    for round in 1..=setting.plan.rounds + 1 {
        let total = STREAMS * (u32::try_from(round)? + 1);
        let begin = Instant::now();
        kill_process(pid, Signal::USR1)?;
        heard.all(total).await?;
        let took = begin.elapsed().as_secs_f64() * 1e3;
        println!("  B8  broadcast {round}: {took:.0} ms until the last stream has it");
        if round > 1 {
            times.push(took);
        }
    }
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_most("10,000 idle streams, each", " KB", each, 4.0),
            Verdict::at_most("one broadcast to all", " ms", median(times), 150.0),
        ],
        ..Outcome::default()
    })
}

/// How many messages came.
#[derive(Default)]
pub struct Heard {
    count: AtomicU32,
    wanted: AtomicU32,
    more: Notify,
}

impl Heard {
    /// One more.
    pub fn one(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count >= self.wanted.load(Ordering::SeqCst) {
            self.more.notify_one();
        }
    }

    /// Waits until there are so many.
    pub async fn all(&self, total: u32) -> Result<()> {
        self.wanted.store(total, Ordering::SeqCst);
        let waits = async {
            while self.count.load(Ordering::SeqCst) < total {
                self.more.notified().await;
            }
        };
        let heard = || self.count.load(Ordering::SeqCst);
        tokio::time::timeout(PATIENCE, waits)
            .await
            .with_context(|| format!("only {} of {total} messages came in {PATIENCE:?}", heard()))
    }
}

const NAME: &str = "streams";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The role `streams`: a service that tells a change to everybody each time it is sent SIGUSR1.
pub async fn serve() -> Result<()> {
    let build = |_: Host| {
        async {
            let mut told = signal(SignalKind::user_defined1())?;
            let (version, seen) = watch::channel(1);
            let task = |stop: artel_handle::CancellationToken| async move {
                let tell = async {
                    while told.recv().await.is_some() {
                        version.send_modify(|version| *version += 1);
                    }
                };
                stop.run_until_cancelled(tell).await;
            };
            Ok(Service::new(NAME).grpc(Watched(seen)).task(task))
        }
        .boxed()
    };
    let config = std::env::var_os("ARTEL_CONFIG").map(PathBuf::from);
    let streams = Blueprint { name: NAME, build, may_listen: false };
    artel_handle::serve(Config::load(config.as_deref())?, vec![streams]).await
}

/// A row that changes.
#[derive(Clone)]
struct Watched(watch::Receiver<i64>);

impl NamedService for Watched {
    const NAME: &'static str = "artel.persist.v1.PersistService";
}

impl Limited for Watched {}

impl tower_service::Service<http::Request<Body>> for Watched {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Poller<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let row = self.clone();
        let codec = CheckedCodec::<WatchResponse, WatchRequest>::default();
        async move { Ok(Grpc::new(codec).server_streaming(row, request).await) }.boxed()
    }
}

impl ServerStreamingService<WatchRequest> for Watched {
    type Response = WatchResponse;
    type ResponseStream = BoxStream<'static, Result<WatchResponse, Status>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, _: Request<WatchRequest>) -> Self::Future {
        let mut seen = self.0.clone();
        seen.mark_changed();
        let changes = stream::unfold(seen, |mut seen| async move {
            seen.changed().await.ok()?;
            let version = *seen.borrow_and_update();
            let change = Change { id: product_id(0), version, ..Change::default() };
            Some((Ok(WatchResponse { changes: vec![change], ..WatchResponse::default() }), seen))
        });
        ready(Ok(Response::new(changes.boxed())))
    }
}
