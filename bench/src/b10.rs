//! B10: a second copy of a service. How soon it is used, whether anybody notices that it leaves, and what it adds where
//! the handler waits for something.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use artel_client::Channel;
use artel_config::Config;
use artel_handle::{Blueprint, Host, Service};
use artel_proto::CheckedCodec;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{GetRequest, GetResponse};
use futures::FutureExt as _;
use futures::future::{join, join_all};

use crate::figures::Setting;
use crate::mesh::Mesh;
use crate::report::{Outcome, Verdict};
use crate::rounds::median;
use crate::yardstick::echo::{self, Echo, Waiting};

const NAME: &str = "waiter";
/// What the handler waits, and how many may wait at once: so many of so long are a copy's capacity.
const WAIT: Duration = Duration::from_millis(20);
const AT_ONCE: usize = 16;
/// More than two copies can take.
const CLIENTS: usize = 64;

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let mut mesh = Mesh::new(setting.places()?).await?;
    mesh.role("waiter-1", &["waiter"], &[])?;
    mesh.passing(&[NAME], 1).await?;
    let stub = PersistServiceClient::new(mesh.channels("order").to(NAME));
    let (mut ratios, mut firsts, mut errors, mut calls) = (Vec::new(), Vec::new(), 0, 0);
    for round in 0..=setting.plan.rounds {
        let alone = load(&stub, Until::Over(setting.plan.time), &Seen::default()).await;
        let seen = Seen::default();
        let pid = mesh.role("waiter-2", &["waiter"], &[])?;
        let stop = Cell::new(false);
        let growing = async {
            let passing = mesh.passing(&[NAME], 2).await;
            let at = SystemTime::now();
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.set(true);
            passing.map(|_| at)
        };
        let (passing, _) = join(growing, load(&stub, Until::Told(&stop), &seen)).await;
        let passing = passing?.duration_since(UNIX_EPOCH)?.as_secs_f64();
        let first = seen.first.borrow().get(&pid).copied().context("the second copy was never called")?;
        let first = (first - passing) * 1e3;
        let both = load(&stub, Until::Over(setting.plan.time), &seen).await;
        // It leaves under load, and the load goes on for a moment.
        let stop = Cell::new(false);
        let leaving = async {
            let ended = mesh.stop("waiter-2").await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            stop.set(true);
            ended
        };
        let (ended, _) = join(leaving, load(&stub, Until::Told(&stop), &seen)).await;
        ended?;
        let ratio = both / alone;
        println!(
            "  B10  {round}: one {alone:.0}/s, two {both:.0}/s; first call {first:.0} ms after it passes; {} errors",
            seen.errors.get()
        );
        errors += seen.errors.get();
        calls += seen.calls.get();
        if round > 0 {
            ratios.push(ratio);
            firsts.push(first);
        }
    }
    mesh.end().await?;
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_most("a second copy's first call after it passes", " ms", median(firsts), 50.0),
            Verdict::holds(
                "it leaves under load",
                "0 errors",
                format!("{errors} of {calls} calls"),
                errors == 0,
            ),
            Verdict::at_least("two copies of a handler that waits, rate", "x", median(ratios), 1.95),
        ],
        ..Outcome::default()
    })
}

enum Until<'a> {
    Over(Duration),
    Told(&'a Cell<bool>),
}

/// What callers saw.
#[derive(Default)]
struct Seen {
    /// When each process was called first, by its own clock.
    first: RefCell<HashMap<u32, f64>>,
    calls: Cell<u64>,
    errors: Cell<u64>,
}

/// Calls in a closed loop; how many a second.
async fn load(stub: &PersistServiceClient<Channel>, until: Until<'_>, seen: &Seen) -> f64 {
    let begin = Instant::now();
    let goes_on = || match until {
        Until::Over(time) => begin.elapsed() < time,
        Until::Told(stop) => !stop.get(),
    };
    let count = Cell::new(0_u32);
    let clients = (0..CLIENTS).map(|_| async {
        while goes_on() {
            seen.calls.set(seen.calls.get() + 1);
            match stub.clone().get(Mesh::call("order").request(echo::request(1))).await {
                Ok(answer) => {
                    count.set(count.get() + 1);
                    if let Some((pid, moment)) = echo::who(answer.get_ref()) {
                        seen.first.borrow_mut().entry(pid).or_insert(moment);
                    }
                }
                Err(status) => {
                    println!("  B10  an error: {status}");
                    seen.errors.set(seen.errors.get() + 1);
                }
            }
        }
    });
    join_all(clients).await;
    f64::from(count.get()) / begin.elapsed().as_secs_f64()
}

/// The role `waiter`.
pub async fn serve() -> Result<()> {
    let build = |_: Host| {
        async {
            let echo = Echo::<CheckedCodec<GetResponse, GetRequest>>::waiting(Waiting::new(AT_ONCE, WAIT));
            Ok(Service::new(NAME).grpc(echo))
        }
        .boxed()
    };
    let config = std::env::var_os("ARTEL_CONFIG").map(PathBuf::from);
    let waiter = Blueprint { name: NAME, build, may_listen: false };
    artel_handle::serve(Config::load(config.as_deref())?, vec![waiter]).await
}
