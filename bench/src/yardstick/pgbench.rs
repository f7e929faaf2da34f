//! pgbench with SQL written by hand, over the same Unix socket that persist uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use tokio::process::Command;

use crate::cpu::Watched;
use crate::load::Times;
use crate::rounds::{Contender, Work};
use crate::store::Store;

/// A round of pgbench.
pub struct Pgbench<'a> {
    name: &'static str,
    store: &'a Store,
    clients: usize,
    folder: PathBuf,
    /// Whether the database is made equal before each round.
    writes: bool,
    /// Whether each transaction's time is kept: pgbench writes a line for each.
    times: bool,
}

impl<'a> Pgbench<'a> {
    /// Runs that script with so many clients.
    pub fn new(
        name: &'static str,
        store: &'a Store,
        script: &str,
        clients: usize,
        logs: &Path,
    ) -> Result<Self> {
        let folder = logs.join(format!("pgbench-{}-{clients}", name.replace([' ', ','], "_")));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("script.sql"), script)?;
        Ok(Self { name, store, clients, folder, writes: false, times: false })
    }

    /// The script writes.
    pub fn writing(mut self) -> Self {
        self.writes = true;
        self
    }

    /// Keeps each transaction's time.
    pub fn timed(mut self) -> Self {
        self.times = true;
        self
    }

    fn read_times(&self) -> Result<Times> {
        let mut times = Times::new()?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let is_log = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("times"));
            if !is_log {
                continue;
            }
            // client, transaction, microseconds, …
            for line in fs::read_to_string(&path)?.lines() {
                let micros = line.split(' ').nth(2).and_then(|micros| micros.parse().ok());
                times.record(Duration::from_micros(micros.context("pgbench's log holds no time")?));
            }
            fs::remove_file(path)?;
        }
        Ok(times)
    }
}

#[async_trait(?Send)]
impl Contender for Pgbench<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::generator_below(), self.store.postgres()]
    }

    async fn reset(&mut self) -> Result<()> {
        if self.writes { self.store.reset().await } else { Ok(()) }
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let threads = self.clients.min(2);
        let mut command = Command::new(program()?);
        command
            .current_dir(&self.folder)
            .args(["--no-vacuum", "--protocol=prepared", "--file=script.sql"])
            .arg(format!("--client={}", self.clients))
            .arg(format!("--jobs={threads}"))
            .arg(format!("--time={}", time.as_secs().max(1)));
        if self.times {
            command.args(["--log", "--log-prefix=times"]);
        }
        let output =
            command.envs(variables(&self.store.by_hand)).output().await.context("cannot run pgbench")?;
        self.store.left("pgbench").await?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (Some(done), Some(rate)) =
            (after(&text, "number of transactions actually processed: "), after(&text, "tps = "))
        else {
            bail!("pgbench said: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        let failed = after(&text, "number of failed transactions: ").unwrap_or_default();
        anyhow::ensure!(failed == 0.0, "{failed} transactions of pgbench failed: {text}");
        Ok(Work {
            done: done as u64,
            // Without the time that its connections took.
            seconds: Some(done / rate),
            latency: if self.times { Some(self.read_times()?.latency()) } else { None },
            more: BTreeMap::new(),
        })
    }
}

/// How libpq is told where to go: what stands in a command line is there for everybody to read.
fn variables(config: &tokio_postgres::Config) -> Vec<(&'static str, String)> {
    let mut variables = vec![("PGGSSENCMODE", "disable".to_owned())];
    for host in config.get_hosts() {
        let host = match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(folder) => folder.display().to_string(),
        };
        variables.push(("PGHOST", host));
    }
    variables.extend(config.get_ports().iter().map(|port| ("PGPORT", port.to_string())));
    variables.extend(config.get_user().map(|user| ("PGUSER", user.to_owned())));
    variables.extend(config.get_dbname().map(|name| ("PGDATABASE", name.to_owned())));
    let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    variables.extend(password.map(|password| ("PGPASSWORD", password)));
    variables
}

fn after(text: &str, label: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    let number: String = line.chars().take_while(|it| it.is_ascii_digit() || *it == '.').collect();
    number.parse().ok()
}

/// pgbench of the newest PostgreSQL that is installed; Debian's own wrapper costs a process more.
fn program() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|folder| folder.path().join("bin/pgbench")).filter(|path| path.is_file()).collect();
    found.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join("pgbench")).find(|path| path.is_file())
    };
    found.pop().or_else(on_path).context("pgbench is not installed: it comes with PostgreSQL's server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_what_pgbench_says() {
        let said = "number of transactions actually processed: 812/812\nnumber of failed transactions: 0 (0.000%)\n\
                    tps = 405.512345 (without initial connection time)\n";
        assert_eq!(after(said, "number of transactions actually processed: "), Some(812.0));
        assert_eq!(after(said, "tps = "), Some(405.512_345));
        assert_eq!(after(said, "number of failed transactions: "), Some(0.0));
    }
}
