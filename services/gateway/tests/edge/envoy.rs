//! A real Envoy on free ports, told by the gateway's control plane.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use artel_gateway::{ControlPlane, DEFAULTS, GatewayConfig, Limiter, Surface};
use artel_handle::Live;
use artel_proto::annotations;
use tokio_util::sync::CancellationToken;

use crate::upstream::Upstream;

/// Everything that a test of the edge needs; all of it ends with this.
pub struct Edge {
    pub url: String,
    pub admin: String,
    pub control: Arc<ControlPlane>,
    pub http: reqwest::Client,
    pub config: GatewayConfig,
    envoy: Child,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Edge {
    /// An edge before a mesh in which `upstream` is every service.
    pub async fn before(upstream: &Upstream) -> Self {
        Self::start(|_| {}).await.open(upstream).await
    }

    /// Makes `upstream` every service.
    pub async fn open(self, upstream: &Upstream) -> Self {
        for host in self.control.hosts() {
            self.control.learn(host, BTreeSet::from([upstream.address]));
        }
        self.wait_for("/.well-known/jwks.json").await;
        self
    }

    /// An edge that knows of no service yet, and counts for itself.
    pub async fn start(adjust: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::start_with("redis://127.0.0.1:1", adjust).await
    }

    /// The same with a Redis.
    pub async fn start_with(redis: &str, adjust: impl FnOnce(&mut GatewayConfig)) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let [xds, edge, admin] = free_ports();
        let mut config: GatewayConfig = toml::from_str(DEFAULTS).unwrap();
        config.xds_bind = xds;
        config.edge_bind = edge;
        config.keys_cache_seconds = 6;
        adjust(&mut config);
        config.possible().unwrap();

        let limiter = Limiter::open(Live::fixed(config.clone()), redis).unwrap();
        let surface = Surface::read(annotations::pool()).unwrap();
        let control = Arc::new(ControlPlane::new(surface, &config, limiter));
        let stop = CancellationToken::new();
        let listener = tokio::net::TcpListener::bind(xds).await.unwrap();
        let (serving, ending) = (control.clone(), stop.clone());
        tokio::spawn(async move { serving.serve(listener, ending).await.unwrap() });

        let folder = tempfile::tempdir().unwrap();
        let bootstrap = include_str!("../../../../envoy/bootstrap.yaml")
            .replace("{{admin_host}}", "127.0.0.1")
            .replace("{{admin_port}}", &admin.port().to_string())
            .replace("{{xds_host}}", "127.0.0.1")
            .replace("{{xds_port}}", &xds.port().to_string());
        let path = folder.path().join("envoy.yaml");
        std::fs::write(&path, bootstrap).unwrap();
        let log = std::fs::File::create(folder.path().join("envoy.log")).unwrap();
        let envoy = Command::new(binary())
            .args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning", "-c"])
            .arg(path)
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        let url = format!("http://{edge}");
        let admin = format!("http://{admin}");
        Self { url, admin, control, http: reqwest::Client::new(), config, envoy, stop, _folder: folder }
    }

    /// Waits until a path answers 200.
    pub async fn wait_for(&self, path: &str) {
        self.wait_until(path, 200).await;
    }

    /// Waits until a path answers with a status.
    pub async fn wait_until(&self, path: &str, status: u16) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.http.get(format!("{}{path}", self.url)).send().await;
            match answer {
                Ok(answer) if answer.status() == status => return,
                other => assert!(
                    Instant::now() < end,
                    "{path} never answered {status}, last: {other:?}\nEnvoy said: {}",
                    self.log()
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes `service` be at these addresses.
    pub fn learn(&self, service: &str, instances: &[SocketAddr]) {
        self.control.learn(service, instances.iter().copied().collect());
    }

    /// Ends the gateway; Envoy goes on alone.
    pub fn end_gateway(&self) {
        self.stop.cancel();
    }

    /// A client with an address of its own: all of 127/8 is this machine.
    pub fn http_from(&self, last: u8) -> reqwest::Client {
        let address = std::net::IpAddr::from([127, 0, 0, last]);
        reqwest::Client::builder().local_address(address).build().unwrap()
    }

    /// What Envoy wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self._folder.path().join("envoy.log")).unwrap_or_default()
    }

    /// A number from Envoy's statistics.
    pub async fn stat(&self, name: &str) -> u64 {
        let url = format!("{}/stats?filter=^{}$", self.admin, name.replace('.', "\\."));
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        text.rsplit_once(": ").map_or(0, |(_, number)| number.trim().parse().unwrap())
    }

    /// How much memory Envoy has, in KiB.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.envoy.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A gRPC channel to the edge.
    pub fn channel(&self) -> tonic::transport::Channel {
        tonic::transport::Endpoint::from_shared(self.url.clone()).unwrap().connect_lazy()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.envoy.kill();
        let _ = self.envoy.wait();
    }
}

/// The Envoy to test with. A test that cannot find one fails: it has proved nothing.
fn binary() -> PathBuf {
    let named = std::env::var_os("ARTEL_TEST_ENVOY").map(PathBuf::from);
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("envoy"));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let cached = cache.into_iter().flat_map(|cache| {
        let folders = std::fs::read_dir(cache.join("artel")).into_iter().flatten().flatten();
        folders
            .filter(|folder| folder.file_name().to_string_lossy().starts_with("envoy-"))
            .map(|folder| folder.path().join("envoy/_bin/envoy"))
            .collect::<Vec<_>>()
    });
    named.into_iter().chain(on_path).chain(cached).find(|path| path.is_file()).expect(
        "no Envoy: run `cargo xtask up` once, which fetches it, or set ARTEL_TEST_ENVOY to the binary's path",
    )
}

/// Addresses on loopback that are free at this moment.
pub fn free_ports<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
