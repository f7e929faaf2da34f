//! B6: from the answer to a commit until a listener of its event has committed what it does about it. As many orders are
//! placed each second as half of what can be placed and heard at most, whatever became of those before.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use artel_config::Config;
use artel_handle::{Blueprint, Delivery, Host, Listener, Service};
use artel_proto::Event as _;
use artel_proto::notify::Notification;
use artel_proto::order::OrderPlaced;
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_queue::Failure;
use artel_repo::{Commit, Repo, digest};
use artel_util::{Error, new_id};
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use tokio::task::JoinSet;

use crate::broker::Broker;
use crate::cpu::Watched;
use crate::figures::Setting;
use crate::load::{self, Due, Times};
use crate::mesh::Mesh;
use crate::place_order::Basket;
use crate::report::{Outcome, Verdict};
use crate::rounds::{Contender, Work, in_turn, median};
use crate::store::{connect, fill};

const NAME: &str = "probe";
/// Clients of the closed loop that finds what can be done.
const CLIENTS: usize = 32;
/// How long what was placed may take to be heard.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// Where the listener writes what it did, and when.
const VARIABLE: &str = "ARTEL_BENCH_HEARD";

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let places = setting.places()?;
    let broker = Broker::connect(&places.rabbitmq).await?;
    let admin = connect(&places.superuser()).await?;
    let mut mesh = Mesh::new(places).await?;
    admin.batch_execute("TRUNCATE orders, change_log, outbox, idempotency, notifications").await?;
    fill(&admin).await?;
    broker.only_queue().await?;
    broker.delete(crate::broker::QUEUE).await?;
    let heard = mesh.logs().join("bench-heard.txt");
    File::create(&heard)?;
    mesh.serve("persist", &["persist"], &[])?;
    mesh.role(NAME, &["probe"], &[(VARIABLE, heard.display().to_string())])?;
    mesh.passing(&["persist", NAME], 1).await?;

    let mut watched = mesh.watched();
    watched.push(mesh.component("PostgreSQL", "postgres")?);
    watched.push(mesh.component("RabbitMQ", "rabbitmq")?);
    watched.push(Watched::generator());
    let mut effects = Effects { mesh: &mesh, watched, heard: Heard::open(&heard)?, rate: None };
    let most = in_turn("B6", setting.plan, &mut [&mut effects]).await?;
    let rate = most[0].rate() / 2.0;
    effects.rate = Some(rate);
    let half = in_turn("B6", setting.plan, &mut [&mut effects]).await?;
    mesh.end().await?;

    let latency =
        |of: fn(&load::Latency) -> f64| half[0].median(|sample| sample.latency.as_ref().map_or(0.0, of));
    let whole: Vec<f64> =
        half[0].rounds.iter().filter_map(|round| round.more.get("whole p99 ms").copied()).collect();
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_most(
                "commit to the listener's committed effect, p50",
                " ms",
                latency(|it| it.p50_ms),
                2.0,
            ),
            Verdict::at_most("the same, p99", " ms", latency(|it| it.p99_ms), 15.0),
        ],
        notes: vec![
            format!("half load is {rate:.0} orders a second, each heard by one listener"),
            format!("from when an order was due until its effect, p99: {:.1} ms", median(whole)),
        ],
        sets: vec![("as many as can be heard", most), ("half of that", half)],
    })
}

struct Effects<'a> {
    mesh: &'a Mesh,
    watched: Vec<Watched>,
    heard: Heard,
    /// So many a second; `None` for as many as can be.
    rate: Option<f64>,
}

#[async_trait(?Send)]
impl Contender for Effects<'_> {
    fn name(&self) -> &str {
        if self.rate.is_some() { "open loop" } else { "closed loop" }
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.clone()
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let stub = PersistServiceClient::new(self.mesh.channels("order").to("persist"));
        // When each was due, and when its commit was answered.
        let placed: Mutex<HashMap<String, [f64; 2]>> = Mutex::default();
        let begin = Instant::now();
        match self.rate {
            None => {
                load::closed(CLIENTS, time, |_| {
                    || {
                        let (mut stub, placed) = (stub.clone(), &placed);
                        async move {
                            let (id, order) = Basket::Three.order();
                            let due = seconds();
                            stub.commit(Mesh::call("order").request(order)).await?;
                            keep(placed, id, [due, seconds()]);
                            Ok(())
                        }
                    }
                })
                .await?;
            }
            Some(rate) => {
                let mut due = Due::new(rate, time);
                let mut running: JoinSet<Result<(String, [f64; 2])>> = JoinSet::new();
                let epoch = (Instant::now(), seconds());
                while let Some(moment) = due.next().await {
                    let mut stub = stub.clone();
                    let due = epoch.1 + (moment - epoch.0.min(moment)).as_secs_f64();
                    running.spawn(async move {
                        let (id, order) = Basket::Three.order();
                        stub.commit(Mesh::call("order").request(order)).await?;
                        Ok((id, [due, seconds()]))
                    });
                    while let Some(done) = running.try_join_next() {
                        let (id, times) = done??;
                        keep(&placed, id, times);
                    }
                }
                while let Some(done) = running.join_next().await {
                    let (id, times) = done??;
                    keep(&placed, id, times);
                }
            }
        }
        let placed = placed.into_inner().unwrap_or_default();
        let (mut effect, mut whole) = (Times::new()?, Times::new()?);
        let mut last = 0.0_f64;
        for (id, moment) in self.heard.next(placed.len()).await? {
            let [due, answered] =
                placed.get(&id).copied().context("an order was heard that nobody placed")?;
            // The effect may even be there before the answer has come to the caller.
            effect.record(Duration::from_secs_f64((moment - answered).max(0.0)));
            whole.record(Duration::from_secs_f64((moment - due).max(0.0)));
            last = last.max(moment);
        }
        let took = begin.elapsed().as_secs_f64() - (seconds() - last);
        let more = [("whole p50 ms", whole.latency().p50_ms), ("whole p99 ms", whole.latency().p99_ms)];
        Ok(Work {
            done: placed.len() as u64,
            seconds: Some(took),
            latency: Some(effect.latency()),
            more: more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        })
    }
}

fn keep(placed: &Mutex<HashMap<String, [f64; 2]>>, id: String, times: [f64; 2]) {
    placed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, times);
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What the listener wrote.
struct Heard(BufReader<File>);

impl Heard {
    fn open(path: &std::path::Path) -> Result<Self> {
        Ok(Self(BufReader::new(File::open(path)?)))
    }

    /// The next so many: the order's id, and when the effect was committed.
    async fn next(&mut self, count: usize) -> Result<Vec<(String, f64)>> {
        let end = Instant::now() + PATIENCE;
        let (mut all, mut line) = (Vec::with_capacity(count), String::new());
        while all.len() < count {
            if self.0.read_line(&mut line)? > 0 && line.ends_with('\n') {
                let (id, moment) = line.trim_end().split_once(' ').context("a line without a time")?;
                all.push((id.to_owned(), moment.parse()?));
                line.clear();
                continue;
            }
            anyhow::ensure!(
                Instant::now() < end,
                "{} of {count} orders were heard in {PATIENCE:?}",
                all.len()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(all)
    }
}

/// The role `probe`: a service that writes a message for each order, and when it has.
pub async fn serve() -> Result<()> {
    let build = |host: Host| {
        async move {
            let path = std::env::var(VARIABLE).context(VARIABLE)?;
            let heard = File::options().append(true).open(path)?;
            Ok(Service::new(NAME)
                .listen::<OrderPlaced>(Probe { repo: host.repo(), heard: Mutex::new(heard) }))
        }
        .boxed()
    };
    let config = std::env::var_os("ARTEL_CONFIG").map(PathBuf::from);
    let probe = Blueprint { name: NAME, build, may_listen: true };
    artel_handle::serve(Config::load(config.as_deref())?, vec![probe]).await
}

struct Probe {
    repo: Repo,
    heard: Mutex<File>,
}

#[async_trait]
impl Listener<OrderPlaced> for Probe {
    async fn hear(&self, delivery: &Delivery, event: OrderPlaced) -> Result<(), Failure> {
        let notification = Notification {
            id: new_id(),
            user_id: "anna".into(),
            event_id: delivery.event_id.clone(),
            event_type: OrderPlaced::NAME.into(),
            subject_id: event.order_id.clone(),
            title: "Заказ принят".into(),
            body: "Мы собираем его.".into(),
            locale: "ru".into(),
            ..Notification::default()
        };
        let commit = Commit::new().insert(&notification).once(delivery.key(), digest(&event), Bytes::new());
        if !self.repo.commit(&delivery.call, commit).await?.replayed {
            let line = format!("{} {}\n", event.order_id, seconds());
            let mut heard = self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            heard.write_all(line.as_bytes()).map_err(Error::internal)?;
        }
        Ok(())
    }
}
