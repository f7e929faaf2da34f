//! B7: how fast persist takes events from its outbox to RabbitMQ, against raw confirms at their best window; and that
//! nothing is lost when persist is killed in the middle.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use futures::future::try_join;

use crate::broker::Broker;
use crate::cpu::Watched;
use crate::figures::Setting;
use crate::mesh::Mesh;
use crate::report::{Outcome, Verdict};
use crate::rounds::{Contender, Work, in_turn};
use crate::store::{WORKSPACE, connect};
use crate::yardstick::confirms::Confirms;

/// How many rounds of this many make up the drain that is killed.
const SHARE: u64 = 10;
/// Bytes of an event: an order of three products.
const BODY: usize = 200;
/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let places = setting.places()?;
    let broker = &Broker::connect(&places.rabbitmq).await?;
    let admin = &connect(&places.superuser()).await?;
    let mut mesh = Mesh::new(places).await?;
    let outbox = Outbox { admin, rows: setting.rows / SHARE };
    outbox.empty().await?;
    broker.only_queue().await?;
    mesh.serve("persist", &["persist"], &[])?;
    mesh.passing(&["persist"], 1).await?;

    let rabbitmq = mesh.component("RabbitMQ", "rabbitmq")?;
    let mut raw =
        Confirms { broker, rabbitmq: rabbitmq.clone(), rows: outbox.rows, body: BODY, window: (1, 500) };
    raw.find_best().await?;
    let watched = vec![
        Watched::tree("persist", mesh.pid("persist")?),
        mesh.component("PostgreSQL", "postgres")?,
        rabbitmq,
    ];
    let mut ours = Drain { broker, outbox: &outbox, watched };
    let series = in_turn("B7", setting.plan, &mut [&mut ours, &mut raw]).await?;
    let window = raw.window;

    mesh.kill("persist").await?;
    let killed = killed(&mut mesh, broker, admin, setting.rows).await?;
    mesh.end().await?;
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_least(
                "outbox drained, rate against raw confirms",
                "x",
                series[0].rate() / series[1].rate(),
                0.9,
            ),
            Verdict::holds(
                "persist killed in the middle",
                &format!("all of {} arrive", setting.rows),
                format!("{} lost, {} twice", killed.lost, killed.twice),
                killed.lost == 0,
            ),
        ],
        notes: vec![
            format!("raw confirms: the best are {} channels of {}", window.0, window.1),
            format!("{} with a consumer beside and a kill: {:.0}/s", setting.rows, killed.rate),
        ],
        sets: vec![("drain", series)],
    })
}

/// Events that wait.
struct Outbox<'a> {
    admin: &'a tokio_postgres::Client,
    rows: u64,
}

impl Outbox<'_> {
    async fn empty(&self) -> Result<()> {
        Ok(self.admin.batch_execute("TRUNCATE outbox; CHECKPOINT").await?)
    }

    /// All in one transaction: none is seen before the last is there.
    async fn fill(&self) -> Result<()> {
        let rows = self.rows;
        self.admin
            .batch_execute(&format!(
                "INSERT INTO outbox (id, workspace_id, type, name, key, body, actor_user, actor_service, trace)
                SELECT gen_random_uuid(), '{WORKSPACE}', 'artel.order.v1.OrderPlaced', 'order.placed',
                    'k' || (n % 10000), decode(repeat('07', {BODY}), 'hex'), 'anna', 'order',
                    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
                FROM generate_series(1, {rows}) n"
            ))
            .await?;
        Ok(())
    }
}

/// persist's relay, from its first event to its last.
struct Drain<'a> {
    broker: &'a Broker,
    outbox: &'a Outbox<'a>,
    watched: Vec<Watched>,
}

#[async_trait(?Send)]
impl Contender for Drain<'_> {
    fn name(&self) -> &str {
        "relay"
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.clone()
    }

    async fn reset(&mut self) -> Result<()> {
        self.outbox.empty().await?;
        self.broker.only_queue().await?;
        self.outbox.fill().await
    }

    async fn run(&mut self, _: Duration) -> Result<Work> {
        let rows = self.outbox.rows;
        // It began when the rows were there, a moment ago.
        let before = self.broker.depth().await?;
        let begin = Instant::now();
        let end = self.broker.filled(rows, PATIENCE).await?;
        Ok(Work { done: rows - before, seconds: Some((end - begin).as_secs_f64()), ..Work::default() })
    }
}

struct Killed {
    lost: u64,
    twice: u64,
    rate: f64,
}

/// Drains many rows while a consumer takes them, and kills persist when half of them have come.
async fn killed(
    mesh: &mut Mesh,
    broker: &Broker,
    admin: &tokio_postgres::Client,
    rows: u64,
) -> Result<Killed> {
    let outbox = Outbox { admin, rows };
    outbox.empty().await?;
    broker.only_queue().await?;
    println!("  B7  {rows} rows into the outbox");
    outbox.fill().await?;
    let count = usize::try_from(rows)?;
    let (came, over, begin) = (Cell::new(0), Cell::new(false), Instant::now());
    mesh.serve("persist", &["persist"], &[])?;
    let consume = async {
        let tenth = (count / 10).max(1);
        let all = broker.consume(count, |seen| {
            came.set(seen);
            if seen % tenth == 0 {
                println!("  B7  {seen} of {count} came");
            }
        });
        // What is lost never comes: the wait for it ends some time after the last that came.
        tokio::pin!(all);
        let mut last = 0;
        loop {
            match tokio::time::timeout(Duration::from_secs(30), &mut all).await {
                Ok(twice) => return anyhow::Ok((0, twice?)),
                Err(_) if came.get() == last => {
                    over.set(true);
                    return Ok((rows - last as u64, 0));
                }
                Err(_) => last = came.get(),
            }
        }
    };
    let kill = async {
        while came.get() < count / 2 && !over.get() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        mesh.kill("persist").await?;
        println!("  B7  persist killed when {} had come", came.get());
        mesh.serve("persist", &["persist"], &[]).map(drop)
    };
    let ((lost, twice), ()) = try_join(consume, kill).await?;
    Ok(Killed { lost, twice, rate: (rows - lost) as f64 / begin.elapsed().as_secs_f64() })
}
