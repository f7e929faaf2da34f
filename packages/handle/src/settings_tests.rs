//! The configuration while a service runs: over a stand-in for Consul, and over the real one.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use artel_config::{Config, Section};
use artel_discovery::Consul;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::measure::prometheus;
use crate::serve::run;
use crate::service::Service;
use crate::settings::Live;
use crate::testing::LocalMesh;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    smtp: String,
    limit: u32,
}

impl Section for Mail {
    const DEFAULTS: &'static str = "smtp = 'smtp://localhost'\nlimit = 5\n";
    const LIVE: &'static [&'static str] = &["limit"];

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.limit > 0, "mail.limit must be more than 0");
        Ok(())
    }
}

/// Waits until it is so.
async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn limit_is(mail: &Live<Mail>, limit: u32) {
    until(&format!("limit {limit}"), || async { mail.get().limit == limit }).await;
}

/// What the only copy of a service says of itself; nothing where it does not pass.
async fn meta(consul: &Consul, service: &str) -> BTreeMap<String, String> {
    let instances = consul.instances(service).await.unwrap_or_default();
    instances.into_iter().next().map(|instance| instance.meta).unwrap_or_default()
}

#[tokio::test]
async fn a_change_is_taken_while_the_service_runs_and_a_bad_one_refused() {
    let mesh = LocalMesh::start("[mail]\nlimit = 6").await.unwrap();
    let host = mesh.host("mail");
    let mail: Live<Mail> = host.settings().unwrap();
    assert_eq!(mail.get().limit, 6);
    mesh.serve(Service::new("mail")).await.unwrap();
    let consul = host.consul();
    assert_eq!(meta(consul, "mail").await["config"], "0");

    mesh.set("mail.limit", "7");
    limit_is(&mail, 7).await;
    until("the version in Consul", || async { meta(consul, "mail").await["config"] != "0" }).await;
    let taken = meta(consul, "mail").await;
    assert!(!taken.contains_key("config_refused"), "{taken:?}");
    assert_eq!(taken["config_mesh"], "0");

    for bad in ["many", "0", "-1"] {
        mesh.set("mail.limit", bad);
        let refused = |meta: &BTreeMap<String, String>| meta.get("config_refused").cloned();
        let before = refused(&meta(consul, "mail").await);
        until("refused aloud", || async {
            let now = refused(&meta(consul, "mail").await);
            now.is_some() && now != before
        })
        .await;
        let now = meta(consul, "mail").await;
        assert_eq!((mail.get().limit, &now["config"]), (7, &taken["config"]), "{bad}");
    }
    let metrics = prometheus().unwrap().render();
    assert!(metrics.contains(r#"artel_config_refused_total{section="mail"} 3"#), "{metrics}");

    mesh.set("mail.limit", "8");
    limit_is(&mail, 8).await;
    until("mended", || async { !meta(consul, "mail").await.contains_key("config_refused") }).await;

    mesh.set("mail.smtp", "smtp://elsewhere");
    until("waits for a restart", || async {
        meta(consul, "mail").await.get("config_after_restart").is_some_and(|keys| keys == "mail.smtp")
    })
    .await;
    assert_eq!(mail.get().smtp, "smtp://localhost");

    mesh.unset("mail.smtp");
    mesh.unset("mail.limit");
    limit_is(&mail, 6).await;
    until("nothing set", || async { meta(consul, "mail").await["config"] == "0" }).await;
}

#[tokio::test]
async fn what_all_share_is_taken_too_and_where_consul_is_never_comes_from_consul() {
    let mesh = LocalMesh::start("").await.unwrap();
    let host = mesh.host("mail");
    mesh.serve(Service::new("mail")).await.unwrap();
    let consul = host.consul();
    mesh.set("mesh.log", "info,artel_handle=debug");
    until("the version", || async { meta(consul, "mail").await["config_mesh"] != "0" }).await;
    for (key, bad) in [("mesh.log", "info,=="), ("mesh.consul", "http://evil"), ("mesh.mesh_key", "hunter2")]
    {
        mesh.set(key, bad);
        until(key, || async { meta(consul, "mail").await.contains_key("config_refused") }).await;
        match key {
            "mesh.log" => mesh.set(key, "info"),
            key => mesh.unset(key),
        }
        until("mended", || async { !meta(consul, "mail").await.contains_key("config_refused") }).await;
    }
}

/// A Consul of its own, which ends with the value. What it was told is kept in its folder.
struct Agent {
    process: Child,
    address: String,
}

impl Agent {
    fn start(ports: [u16; 3], folder: &std::path::Path) -> Self {
        let binary =
            std::env::var("ARTEL_TEST_CONSUL_SERVER").expect("ARTEL_TEST_CONSUL_SERVER names the binary");
        let [http, serf, server] = ports;
        let process = Command::new(binary)
            .args(["agent", "-server", "-bootstrap-expect=1", "-bind=127.0.0.1", "-client=127.0.0.1"])
            .args(["-dns-port=-1", "-serf-wan-port=-1", "-hcl=performance { raft_multiplier = 1 }"])
            .arg(format!("-data-dir={}", folder.display()))
            .args([format!("-http-port={http}"), format!("-serf-lan-port={serf}")])
            .arg(format!("-server-port={server}"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address: format!("http://127.0.0.1:{http}") }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn the_file_stands_while_the_real_consul_is_away_and_what_was_taken_stays() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let text = format!(
        "[mesh]\nmesh_key = '{}'\nconsul = 'http://127.0.0.1:{}'\ndrain_grace_ms = 1\ncheck_interval_ms = 100\n\
         [mail]\nlimit = 6",
        "k".repeat(32),
        ports[0]
    );
    let draining = CancellationToken::new();
    let open = || Host::open(Config::parse(&text).unwrap(), draining.clone());

    // Away at the start.
    let host = open().await.unwrap().of("mail");
    let mail: Live<Mail> = host.settings().unwrap();
    assert_eq!(mail.get().limit, 6);
    let service = tokio::spawn(run(Service::new("mail"), host.clone()));

    let agent = Agent::start(ports, folder.path());
    let consul = Consul::new(&agent.address).unwrap();
    until("registered and well", || async { !meta(&consul, "mail").await.is_empty() }).await;
    assert_eq!(consul.entries("artel/config/").await.unwrap(), []);

    // A change is taken, and telling its version costs no moment of being out.
    consul.put("artel/config/mail/limit", "7").await.unwrap();
    until("the version", || async {
        let meta = meta(&consul, "mail").await;
        assert!(!meta.is_empty(), "it was out of Consul for telling its version");
        meta["config"] != "0"
    })
    .await;
    assert_eq!(mail.get().limit, 7);
    let version = meta(&consul, "mail").await["config"].clone();

    // A bad one is refused, also by a process that starts with it: there the file stands.
    consul.put("artel/config/mail/limit", "0").await.unwrap();
    until("refused", || async { meta(&consul, "mail").await.contains_key("config_refused") }).await;
    assert_eq!((mail.get().limit, &meta(&consul, "mail").await["config"]), (7, &version));
    let other: Live<Mail> = open().await.unwrap().of("mail").settings().unwrap();
    assert_eq!(other.get().limit, 6);

    // Away later, and back.
    consul.put("artel/config/mail/limit", "9").await.unwrap();
    limit_is(&mail, 9).await;
    limit_is(&other, 9).await;
    drop(agent);
    until("away", || async { consul.entries("artel/config/").await.is_err() }).await;
    assert_eq!(mail.get().limit, 9);
    let _agent = Agent::start(ports, folder.path());
    until("back", || async { consul.put("artel/config/mail/limit", "10").await.is_ok() }).await;
    limit_is(&mail, 10).await;
    consul.delete("artel/config/mail/limit").await.unwrap();
    limit_is(&mail, 6).await;

    draining.cancel();
    service.await.unwrap().unwrap();
}
