//! A Redis of a test's own.

use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::envoy::free_ports;

/// Ends with this; what it holds survives a kill.
pub struct Redis {
    pub url: String,
    port: String,
    folder: tempfile::TempDir,
    child: Option<Child>,
}

impl Redis {
    pub fn start() -> Self {
        let [address] = free_ports();
        let (url, port) = (format!("redis://{address}"), address.port().to_string());
        let mut redis = Self { url, port, folder: tempfile::tempdir().unwrap(), child: None };
        redis.resume();
        redis
    }

    pub fn resume(&mut self) {
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port, "--save", "", "--appendonly", "yes"])
            .args(["--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is not installed");
        self.child = Some(child);
        let end = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(format!("127.0.0.1:{}", self.port)).is_err() {
            assert!(Instant::now() < end, "Redis never came up");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
