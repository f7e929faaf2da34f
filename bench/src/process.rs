//! Processes that a figure starts: this same program in another role, or `artel`. They end with the value.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Below the range from which the kernel picks ports for outgoing connections.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// How long a process may take to listen.
const START: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to.
const END: Duration = Duration::from_secs(30);

/// A process that runs.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    /// This program with other arguments, what it says going to a log in that folder.
    pub fn ourselves(name: &str, args: &[&str], variables: &[(&str, String)], logs: &Path) -> Result<Self> {
        Self::start(name, &std::env::current_exe()?, args, variables, logs)
    }

    /// A program.
    pub fn start(
        name: &str,
        program: &Path,
        args: &[&str],
        variables: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self> {
        Self::start_in(Path::new("."), name, program, args, variables, logs)
    }

    /// A program in a folder of its own.
    pub fn start_in(
        folder: &Path,
        name: &str,
        program: &Path,
        args: &[&str],
        variables: &[(&str, String)],
        logs: &Path,
    ) -> Result<Self> {
        let log = logs.join(format!("bench-{name}.log"));
        let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(program)
            .args(args)
            .current_dir(folder)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Waits until it accepts connections there.
    pub async fn listens(&mut self, address: SocketAddr) -> Result<()> {
        let end = Instant::now() + START;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            self.alive()?;
            if Instant::now() > end {
                bail!("{} does not listen on {address}: {}", self.name, self.said());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Fails where it ended.
    pub fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.said()),
            None => Ok(()),
        }
    }

    /// Kills it without a word.
    pub async fn kill(mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(mut self) -> Result<()> {
        let pid =
            Pid::from_raw(i32::try_from(self.pid())?).with_context(|| format!("{} is gone", self.name))?;
        kill_process(pid, Signal::TERM)?;
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(status) => anyhow::ensure!(status?.success(), "{} ended badly: {}", self.name, self.said()),
            Err(_) => bail!("{} does not end: {}", self.name, self.said()),
        }
        Ok(())
    }

    fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

/// A port that nobody uses, where nothing outgoing takes it either.
pub fn free_port() -> Result<SocketAddr> {
    for _ in 0..1_000 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rand::random_range(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("there is no free port between {} and {}", PORTS.start, PORTS.end)
}
