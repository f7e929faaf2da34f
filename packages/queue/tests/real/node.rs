//! A RabbitMQ of a test's own, to be killed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Where Debian's package keeps the script that doesn't switch users; `ARTEL_TEST_RABBITMQ_SERVER` names another.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const BOOT: Duration = Duration::from_secs(120);

pub struct Node {
    home: TempDir,
    port: u16,
    distribution: u16,
    names: u16,
    _epmd: Child,
    server: Option<Child>,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Node {
    pub async fn start() -> Self {
        let names = free_port();
        let epmd = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &names.to_string()])
            .kill_on_drop(true)
            .spawn()
            .expect("epmd is installed with RabbitMQ");
        let home = tempfile::Builder::new().prefix("artel-rabbit").tempdir().unwrap();
        let (port, distribution) = (free_port(), free_port());
        std::fs::write(home.path().join("plugins"), "[].").unwrap();
        std::fs::write(home.path().join("rabbitmq.conf"), "disk_free_limit.absolute = 50MB\n").unwrap();
        let mut node = Self { home, port, distribution, names, _epmd: epmd, server: None };
        node.begin().await;
        node
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Starts the server on the data it has and waits until it lets clients in.
    pub async fn begin(&mut self) {
        let home = self.home.path();
        let server = std::env::var("ARTEL_TEST_RABBITMQ_SERVER").unwrap_or_else(|_| SERVER.to_owned());
        assert!(
            Path::new(&server).exists(),
            "no RabbitMQ at {server}: name it in ARTEL_TEST_RABBITMQ_SERVER"
        );
        let log = std::fs::File::create(home.join("log")).unwrap();
        let child = Command::new(server)
            .env("HOME", home)
            .env("ERL_EPMD_PORT", self.names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", "artel-queue-test@localhost")
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_CONFIG_FILE", home.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", home.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", home.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", home)
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_PID_FILE", home.join("pid"))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            // The script becomes the server, so that the process we kill is the server.
            .env("RUNNING_UNDER_SYSTEMD", "true")
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none +sbwtdcpu none \
                 +sbwtdio none",
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.server = Some(child);
        let deadline = Instant::now() + BOOT;
        while lapin::Connection::connect(&self.url(), Default::default()).await.is_err() {
            let log = || std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "RabbitMQ did not start:\n{}", log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// SIGKILL: no flush, no goodbye.
    pub async fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().await.unwrap();
        }
    }
}
