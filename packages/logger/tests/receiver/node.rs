//! The receiver, a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

/// How long anything may take before the test has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Receiver {
    pub address: SocketAddr,
    entries: mpsc::UnboundedReceiver<Value>,
    child: Child,
}

impl Receiver {
    /// On a free port (0) or a given one.
    pub async fn start(port: u16) -> Self {
        let modules = std::env::var("ARTEL_TEST_FLUENT").expect(
            "ARTEL_TEST_FLUENT names a node_modules folder with @fluent-org/logger: `cargo xtask test` brings it",
        );
        let node = std::env::var("ARTEL_TEST_NODE").unwrap_or_else(|_| "node".to_owned());
        let mut child = Command::new(node)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/receiver/receiver.js"))
            .arg(port.to_string())
            .env("NODE_PATH", modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let (say, mut entries) = mpsc::unbounded_channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = say.send(serde_json::from_str(&line).unwrap());
            }
        });
        let first: Value = tokio::time::timeout(PATIENCE, entries.recv()).await.unwrap().expect("node runs");
        let port = u16::try_from(first["port"].as_u64().unwrap()).unwrap();
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), entries, child }
    }

    /// Waits for the entries whose message is not the sender's own.
    pub async fn entries(&mut self, count: usize) -> Vec<Value> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let next = tokio::time::timeout(PATIENCE, self.entries.recv()).await;
            let next = next.unwrap_or_else(|_| panic!("{} of {count} arrived", entries.len())).unwrap();
            if next["record"]["target"] != "artel_logger::sender" {
                entries.push(next);
            }
        }
        entries
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
