//! The same order by teams without Artel: `bench/compare/<stack>`, built where it was not yet, and started on a database
//! of its own behind an Envoy that passes it on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use tokio::process::Command;
use tokio_postgres::Client;

use crate::b5::{answers, end_to_end};
use crate::cpu::Watched;
use crate::figures::Setting;
use crate::places::Places;
use crate::process::{Process, free_port};
use crate::rounds::{Contender, Work};
use crate::store::{PRODUCTS, connect};

const SCHEMA: &str = include_str!("../compare/schema.sql");
const ENVOY: &str = include_str!("../compare/envoy.yaml");
const TABLES: &str = "orders, change_log, outbox, idempotency, notifications, emails";

/// A stack that runs.
pub struct Rival {
    /// Its folder in bench/compare.
    pub stack: &'static str,
    watched: Vec<Watched>,
    admin: Client,
    api: String,
    _processes: [Process; 2],
}

impl Rival {
    /// Those there are.
    pub const STACKS: [&str; 2] = ["nest", "go"];

    /// Builds and starts one.
    pub async fn start(setting: &Setting, stack: &'static str) -> Result<Self> {
        let places = setting.places()?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("compare").join(stack);
        build(stack, &folder).await?;
        let url = database(&places, stack).await?;
        let admin = connect(&url).await?;
        let (port, edge, admin_port) = (free_port()?.port(), free_port()?.port(), free_port()?.port());
        let variables =
            [("PORT", port.to_string()), ("DATABASE_URL", url), ("AMQP_URL", places.rabbitmq.clone())];
        let (program, args): (PathBuf, &[&str]) = match stack {
            "nest" => ("node".into(), &["dist/main.js"]),
            _ => (folder.join("compare"), &[]),
        };
        let logs = places.state.join("logs");
        let shop = Process::start_in(&folder, stack, &program, args, &variables, &logs)?;
        let config = ENVOY
            .replace("{{edge}}", &edge.to_string())
            .replace("{{admin}}", &admin_port.to_string())
            .replace("{{port}}", &port.to_string());
        let file = places.state.join(format!("envoy-{stack}.yaml"));
        std::fs::write(&file, config)?;
        let envoy = envoy(&format!("envoy-{stack}"), &file.display().to_string(), &logs)?;
        let watched = vec![
            Watched::tree(stack, shop.pid()),
            Watched::tree("Envoy", envoy.pid()),
            Watched::tree("PostgreSQL", places.pid("postgres")?),
            Watched::tree("RabbitMQ", places.pid("rabbitmq")?),
            Watched::generator(),
        ];
        let api = format!("http://127.0.0.1:{edge}");
        let mut processes = [shop, envoy];
        let (http, health) = (reqwest::Client::new(), format!("{api}/healthz"));
        tokio::select! {
            answered = answers(&http, &health) => answered?,
            ended = ended(&mut processes) => ended?,
        }
        Ok(Self { stack, watched, admin, api, _processes: processes })
    }

    /// How many times faster ours is to be.
    pub fn target(&self) -> f64 {
        if self.stack == "nest" { 5.0 } else { 2.5 }
    }
}

#[async_trait(?Send)]
impl Contender for Rival {
    fn name(&self) -> &str {
        self.stack
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.clone()
    }

    async fn reset(&mut self) -> Result<()> {
        self.admin.batch_execute(&format!("TRUNCATE {TABLES}")).await?;
        self.admin.batch_execute("VACUUM products").await?;
        Ok(self.admin.batch_execute("CHECKPOINT").await?)
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        end_to_end(&self.api, &self.admin, time, |_, request| request.header("x-user", "anna")).await
    }
}

async fn ended(processes: &mut [Process; 2]) -> Result<()> {
    loop {
        for process in processes.iter_mut() {
            process.alive()?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Envoy with this configuration, as the mesh runs it.
pub fn envoy(name: &str, config: &str, logs: &Path) -> Result<Process> {
    let program = std::env::var_os("ARTEL_BENCH_ENVOY").map(PathBuf::from);
    let program = program.context("no Envoy: start this through `cargo xtask bench`")?;
    let args = ["-c", config, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"];
    Process::start(name, &program, &args, &[], logs)
}

async fn build(stack: &str, folder: &Path) -> Result<()> {
    let (script, made) = match stack {
        "nest" => ("npm ci --silent && npm run --silent build", "dist/main.js"),
        _ => ("GO111MODULE=off GOPATH=/usr/share/gocode go build -o compare .", "compare"),
    };
    if folder.join(made).is_file() {
        return Ok(());
    }
    println!("  B5  {stack}: {script}");
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && folder.join(made).is_file(), "`{script}` failed: {}", said.trim());
    Ok(())
}

/// A new database with goods to order.
async fn database(places: &Places, stack: &str) -> Result<String> {
    let server = connect(&places.postgres_superuser).await?;
    server.batch_execute(&format!("DROP DATABASE IF EXISTS compare_{stack} WITH (FORCE)")).await?;
    server.batch_execute(&format!("CREATE DATABASE compare_{stack}")).await?;
    let address = places.postgres_superuser.rsplit_once('/').map_or("", |(server, _)| server);
    let url = format!("{address}/compare_{stack}");
    let admin = connect(&url).await?;
    admin.batch_execute(SCHEMA).await?;
    let fill = "INSERT INTO products (id, name, price_minor, stock)
        SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Чай ' || n, 100, 1000000000";
    admin.batch_execute(&format!("{fill} FROM generate_series(1, {PRODUCTS}) n")).await?;
    admin.batch_execute("VACUUM ANALYZE products").await?;
    Ok(url)
}
