//! How fast orders are placed: Commit (three products' stock, the order, its event, an idempotency key, the change log)
//! against pgbench doing the same with five statements and the same further rows, in turn, on one PostgreSQL.
//!
//! `ARTEL_TEST_POSTGRES=… cargo run -p artel-persist --release --example bench_commit`

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use artel_client::Call;
use artel_handle::testing::{Direct, direct};
use artel_persist::testing::TestDatabase;
use artel_proto::catalog::Product;
use artel_proto::order::{Order, OrderItem, OrderPlaced, OrderStatus};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{
    Adjust, CommitRequest, Delta, Event, Idempotency, Insert, Mutation, mutation::Change,
};
use artel_proto::types::Money;
use artel_proto::{Entity, Message as _};
use artel_util::new_id;

const WORKSPACE: &str = "00000000-0000-7000-8000-000000000001";
const CLIENTS: usize = 32;
const PRODUCTS: usize = 999;
const ROUND: Duration = Duration::from_secs(4);
/// The first is thrown away.
const ROUNDS: usize = 6;

/// One order by hand: five statements, and a row for each thing that Commit keeps besides.
const SCRIPT: &str = include_str!("place_order.sql");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let database = TestDatabase::create().await?;
    let service = database.persist().await?;
    let client = PersistServiceClient::new(direct(&service, Call::by_service("order", WORKSPACE)));
    let products: Vec<Product> = (1..=PRODUCTS).map(product).collect();
    for chunk in products.chunks(500) {
        let mutations = chunk.iter().map(insert).collect();
        client.clone().commit(CommitRequest { mutations, ..CommitRequest::default() }).await?;
    }
    let script = std::env::temp_dir().join(format!("bench_commit_{}.sql", std::process::id()));
    fs::write(&script, SCRIPT)?;
    let url = database.url("artel_owner");

    let row = database.superuser().await?.query_one("SELECT pg_read_file('postmaster.pid')", &[]).await?;
    let postmaster: u32 = row.get::<_, &str>(0).lines().next().unwrap_or_default().parse()?;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let a = measure(postmaster, async || commits(&client).await).await?;
        let b = measure(postmaster, async || pgbench(&url, &script).await).await?;
        println!("round {round}: Commit {a}   pgbench {b}");
        if round > 0 {
            ours.push(a);
            theirs.push(b);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("medians: Commit {ours}   pgbench {theirs}");
    println!("rate {:.2}x, PostgreSQL's CPU {:.2}x", ours.rate / theirs.rate, ours.cpu / theirs.cpu);
    fs::remove_file(script)?;
    Ok(())
}

/// Orders a second, and milliseconds of PostgreSQL's CPU for each.
#[derive(Clone, Copy)]
struct Figure {
    rate: f64,
    cpu: f64,
}

impl std::fmt::Display for Figure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:.0}/s, {:.3} ms", self.rate, self.cpu)
    }
}

async fn measure(postmaster: u32, run: impl AsyncFnOnce() -> Result<usize>) -> Result<Figure> {
    let (cpu, started) = (postgres_cpu(postmaster)?, Instant::now());
    let count = run().await? as f64;
    Ok(Figure {
        rate: count / started.elapsed().as_secs_f64(),
        cpu: (postgres_cpu(postmaster)? - cpu) / count,
    })
}

fn median(mut figures: Vec<Figure>) -> Figure {
    let middle = figures.len() / 2;
    let mut of = |pick: fn(&Figure) -> f64| {
        figures.sort_by(|one, other| pick(one).total_cmp(&pick(other)));
        figures.get(middle).map_or(0.0, pick)
    };
    Figure { rate: of(|figure| figure.rate), cpu: of(|figure| figure.cpu) }
}

async fn commits(client: &PersistServiceClient<Direct>) -> Result<usize> {
    let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (mut client, count, stop) = (client.clone(), Arc::clone(&count), Arc::clone(&stop));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.commit(place_order()).await?;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, tonic::Status>(())
            })
        })
        .collect();
    tokio::time::sleep(ROUND).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(count.load(Ordering::Relaxed))
}

async fn pgbench(url: &str, script: &std::path::Path) -> Result<usize> {
    let (url, script) = (url.to_owned(), script.to_owned());
    let run = move || {
        let program = ["/usr/lib/postgresql/15/bin/pgbench", "pgbench"];
        let program = program.into_iter().find(|path| fs::exists(path).unwrap_or(false)).unwrap_or("pgbench");
        let clients = CLIENTS.to_string();
        let seconds = ROUND.as_secs().to_string();
        Command::new(program)
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &clients, "-T", &seconds, "-f"])
            .arg(script)
            .arg(url)
            .output()
    };
    let output = tokio::task::spawn_blocking(run).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("number of transactions actually processed"));
    let number = line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.split('/').next());
    number
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("pgbench said: {text}{}", String::from_utf8_lossy(&output.stderr)))
}

/// Milliseconds of CPU that this PostgreSQL has used, sessions that ended included.
fn postgres_cpu(postmaster: u32) -> Result<f64> {
    let mut ticks = 0_u64;
    for entry in fs::read_dir("/proc")? {
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        let (Some((own, _)), Some((_, rest))) = (stat.split_once(' '), stat.rsplit_once(") ")) else {
            continue;
        };
        let fields: Vec<u64> =
            rest.split(' ').skip(1).map(|field| field.parse().unwrap_or_default()).collect();
        // utime and stime; the postmaster's own hold those of children that were waited for, too.
        if own.parse() == Ok(postmaster) {
            ticks += fields.get(10..14).unwrap_or_default().iter().sum::<u64>();
        } else if fields.first() == Some(&u64::from(postmaster)) {
            ticks += fields.get(10..12).unwrap_or_default().iter().sum::<u64>();
        }
    }
    Ok(ticks as f64 * 10.0)
}

fn product(number: usize) -> Product {
    Product {
        id: format!("00000000-0000-7000-8000-{number:012}"),
        name: format!("Чай {number}"),
        price: money(100),
        stock: 1_000_000_000,
        ..Product::default()
    }
}

fn money(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "RUB".into() })
}

fn insert<E: Entity>(entity: &E) -> Mutation {
    let change = Change::Insert(Insert { body: entity.encode_to_vec().into() });
    Mutation { entity: E::NAME.into(), change: Some(change), ..Mutation::default() }
}

fn place_order() -> CommitRequest {
    let number = |from: usize| from + rand::random_range(0..333);
    let ids = [1, 334, 667].map(|from| product(number(from)).id);
    let take = |id: &String| {
        let delta = Delta { field: "stock".into(), amount: -1, floor: Some(0), ceiling: None };
        let change = Some(Change::Adjust(Adjust { deltas: vec![delta] }));
        Mutation { entity: Product::NAME.into(), id: id.clone(), change, ..Mutation::default() }
    };
    let item = |id: &String| OrderItem {
        product_id: id.clone(),
        name: "Чай".into(),
        quantity: 1,
        price: money(100),
    };
    let order = Order {
        id: new_id(),
        number: new_id(),
        user_id: "anna".into(),
        status: OrderStatus::Placed.into(),
        items: ids.iter().map(item).collect(),
        total: money(300),
        create_time: Some(artel_util::now()),
        update_time: Some(artel_util::now()),
        ..Order::default()
    };
    let placed = OrderPlaced { order_id: order.id.clone(), ..OrderPlaced::default() };
    let event = Event {
        r#type: <OrderPlaced as artel_proto::Event>::TYPE.into(),
        body: placed.encode_to_vec().into(),
        expire_time: None,
    };
    CommitRequest {
        mutations: ids.iter().map(take).chain([insert(&order)]).collect(),
        events: vec![event],
        idempotency: Some(Idempotency {
            key: new_id(),
            digest: vec![1; 32].into(),
            answer: vec![2; 64].into(),
        }),
    }
}
