use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use artel_cache::{Redis, Timing};
use deadpool_redis::redis::{Client, aio::MultiplexedConnection, cmd};
use tempfile::TempDir;
use tokio::time::Instant;

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const LONG: Duration = Duration::from_secs(600);

/// A Redis of this test alone, which keeps its data when it is killed.
pub struct Server {
    pub url: String,
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    pub async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("redis://127.0.0.1:{port}");
        let mut server = Self { url, port, folder: tempfile::tempdir().unwrap(), child: None };
        server.resume().await;
        server
    }

    /// Starts it again after [`Server::kill`], on the same port with the same data.
    pub async fn resume(&mut self) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is not installed");
        self.child = Some(child);
        let url = self.url.clone();
        until("redis answers", async || try_raw(&url).await.is_some()).await;
    }

    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops or continues the process, so that it is there and doesn't answer.
    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The Redis of the environment, or one of our own to be held while it is used.
pub async fn any_redis() -> (String, Option<Server>) {
    match std::env::var("ARTEL_TEST_REDIS") {
        Ok(url) => (url, None),
        Err(_) => {
            let server = Server::start().await;
            (server.url.clone(), Some(server))
        }
    }
}

/// A connection of its own, as another process has one. Patient, for machines that are busy.
pub fn process(url: &str) -> Redis {
    Redis::open_with(url, Timing { patience: Duration::from_secs(5), ..Timing::default() }).unwrap()
}

/// A name that no other test and no earlier run has.
pub fn fresh(name: &str) -> String {
    format!("test.{name}.{}", uuid::Uuid::now_v7())
}

pub async fn raw(url: &str) -> MultiplexedConnection {
    Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

async fn try_raw(url: &str) -> Option<()> {
    let mut connection = Client::open(url).unwrap().get_multiplexed_async_connection().await.ok()?;
    cmd("PING").exec_async(&mut connection).await.ok()
}

/// Waits for a condition, not for a time.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A source of values that counts how often it is asked.
#[derive(Clone, Default)]
pub struct Source(Arc<AtomicU32>);

impl Source {
    pub fn loads(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }

    pub async fn load<T>(&self, value: T) -> Result<T, String> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(value)
    }
}
