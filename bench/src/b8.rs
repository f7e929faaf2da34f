//! B8: 10,000 idle server streams at one service: what each costs it, and how long it takes to tell all of them something.
//! The stream is the health protocol's `Watch`, which every service answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use artel_config::Config;
use artel_handle::{Blueprint, Host, Service};
use futures::FutureExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::figures::Setting;
use crate::memory::Memory;
use crate::process::{Process, free_port};
use crate::report::{Outcome, Verdict};
use crate::rounds::median;
use crate::store::endpoint;

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
        ("ARTEL_MESH__MESH_KEY", "0123456789abcdef0123456789abcdef".to_owned()),
        ("ARTEL_MESH__LOG", "warn".to_owned()),
    ];
    let mut server = Process::ourselves("streams", &["role", "streams"], &variables, &setting.folder)?;
    server.listens(address).await?;
    let heard = Arc::new(Heard::default());
    let before = Memory::of(server.pid())?.resident;
    for _ in 0..CONNECTIONS {
        let client = HealthClient::new(endpoint(address)?.connect().await?);
        for _ in 0..PER_CONNECTION {
            let mut client = client.clone();
            let heard = Arc::clone(&heard);
            let request = HealthCheckRequest { service: NAME.to_owned() };
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
struct Heard {
    count: AtomicU32,
    more: Notify,
}

impl Heard {
    fn one(&self) {
        // Whoever waits waits for whole thousands.
        if (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(1_000) {
            self.more.notify_one();
        }
    }

    async fn all(&self, total: u32) -> Result<()> {
        let waits = async {
            while self.count.load(Ordering::Relaxed) < total {
                self.more.notified().await;
            }
        };
        let heard = || self.count.load(Ordering::Relaxed);
        tokio::time::timeout(PATIENCE, waits)
            .await
            .with_context(|| format!("only {} of {total} messages came in {PATIENCE:?}", heard()))
    }
}

const NAME: &str = "streams";

/// The role `streams`: a service that is well and unwell in turn, each time it is sent SIGUSR1.
pub async fn serve() -> Result<()> {
    let build = |_: Host| {
        async {
            let mut told = signal(SignalKind::user_defined1())?;
            let (well, seen) = watch::channel(true);
            let turn = async move {
                while told.recv().await.is_some() {
                    well.send_modify(|well| *well = !*well);
                }
            };
            let task = |stop: artel_handle::CancellationToken| async move {
                stop.run_until_cancelled(turn).await;
            };
            Ok(Service::new(NAME).needs("a turn", seen).task(task))
        }
        .boxed()
    };
    let config = std::env::var_os("ARTEL_CONFIG").map(PathBuf::from);
    let streams = Blueprint { name: NAME, build, may_listen: false };
    artel_handle::serve(Config::load(config.as_deref())?, vec![streams]).await
}
