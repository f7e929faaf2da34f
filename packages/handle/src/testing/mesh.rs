//! Several services in one test, each as it runs in production but for Consul: they register with a stand-in that speaks
//! the few requests of Consul's HTTP API that services make.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use artel_config::Config;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::host::Host;
use crate::measure::prometheus;
use crate::serve::run;
use crate::service::Service;

/// Services that find each other, alone in this test: over loopback, behind the whole stack, with their jobs and tasks.
/// They end with the value.
pub struct LocalMesh {
    host: Host,
    registry: Registry,
    draining: CancellationToken,
}

impl LocalMesh {
    /// A mesh without services. The configuration begins within the section `[mesh]`, of which Consul's address and the
    /// key are given: `"redis = 'redis://…'\n[identity]\nkey = '…'"`.
    ///
    /// # Errors
    /// Where the configuration is wrong.
    pub async fn start(config: &str) -> anyhow::Result<Self> {
        // Another test of this process may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let registry = Registry::default();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let consul = listener.local_addr()?;
        let key = uuid::Uuid::new_v4().simple();
        let config = format!("[mesh]\nconsul = 'http://{consul}'\nmesh_key = '{key}'\n{config}");
        let draining = CancellationToken::new();
        // Handles of what is counted are looked up once: there must be somebody who counts by then.
        prometheus()?;
        let router = registry.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let host = Host::open(Config::parse(&config)?, draining.clone()).await?;
        Ok(Self { host, registry, draining })
    }

    /// The surroundings of a service of that name; also how a test calls the others.
    #[must_use]
    pub fn host(&self, name: &'static str) -> Host {
        self.host.of(name)
    }

    /// Sets `section.key` as an operator does in Consul's KV.
    pub fn set(&self, setting: &str, text: &str) {
        let index = *self.registry.index.borrow() + 1;
        self.registry.kv().insert(kv_key(setting), (text.to_owned(), index));
        self.registry.index.send_replace(index);
    }

    /// Takes `section.key` away again.
    pub fn unset(&self, setting: &str) {
        self.registry.kv().remove(&kv_key(setting));
        self.registry.index.send_modify(|index| *index += 1);
    }

    /// Takes Consul away, or brings it back: while it is away, whatever is asked of it fails.
    pub fn consul_is_away(&self, away: bool) {
        self.registry.away.store(away, Ordering::Relaxed);
        // Whoever waits for a change hears of it at once.
        self.registry.index.send_modify(|index| *index += 1);
    }

    /// What a service says of itself in Consul, copy by copy.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        let services = self.registry.services();
        services.values().filter(|service| service.name == name).map(|service| service.meta.clone()).collect()
    }

    /// Takes a copy out of Consul, as an operator does or a check that fails.
    pub fn remove(&self, copy: SocketAddr) {
        let here = |service: &Registered| SocketAddr::new(service.address, service.port) == copy;
        self.registry.services().retain(|_, service| !here(service));
        self.registry.index.send_modify(|index| *index += 1);
    }

    /// Runs a service, or one more copy of it, and waits until the others can find it. Where it listens.
    ///
    /// # Errors
    /// Where it does not start.
    pub async fn serve(&self, service: Service) -> anyhow::Result<SocketAddr> {
        let name = service.name;
        let mut changes = self.registry.index.subscribe();
        let before = self.registry.copies(name);
        let running = tokio::spawn(run(service, self.host.of(name)));
        let registered = changes.wait_for(|_| self.registry.copies(name).len() > before.len());
        tokio::time::timeout(Duration::from_secs(10), registered).await.with_context(|| {
            format!("`{name}` does not register; it {}", if running.is_finished() { "ended" } else { "runs" })
        })??;
        let now = self.registry.copies(name);
        now.into_iter().find(|copy| !before.contains(copy)).context("a copy that registered is gone")
    }
}

impl Drop for LocalMesh {
    fn drop(&mut self) {
        self.draining.cancel();
    }
}

/// The KV key of `section.key`.
fn kv_key(setting: &str) -> String {
    let (section, key) = setting.split_once('.').unwrap_or((setting, ""));
    artel_config::path(section, key)
}

/// Who is there, what is set, and a number that grows with each change.
#[derive(Clone)]
struct Registry {
    services: Arc<Mutex<BTreeMap<String, Registered>>>,
    kv: Arc<Mutex<BTreeMap<String, (String, u64)>>>,
    index: Arc<watch::Sender<u64>>,
    away: Arc<AtomicBool>,
}

/// What a service tells Consul, as far as others are told.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Registered {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    address: IpAddr,
    port: u16,
    meta: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Blocking {
    index: Option<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            services: Arc::default(),
            kv: Arc::default(),
            index: Arc::new(watch::Sender::new(1)),
            away: Arc::default(),
        }
    }
}

impl Registry {
    fn router(&self) -> Router {
        Router::new()
            .route("/v1/agent/service/register", put(Self::register))
            .route("/v1/agent/service/deregister/{id}", put(Self::deregister))
            .route("/v1/agent/service/{id}", get(Self::agent_service))
            .route("/v1/health/service/{name}", get(Self::health))
            .route("/v1/catalog/services", get(Self::catalog))
            .route("/v1/kv/{*prefix}", get(Self::entries))
            .layer(from_fn_with_state(self.clone(), Self::answer))
            .with_state(self.clone())
    }

    async fn answer(State(registry): State<Self>, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        if registry.away.load(Ordering::Relaxed) {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        response
    }

    fn services(&self) -> MutexGuard<'_, BTreeMap<String, Registered>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kv(&self) -> MutexGuard<'_, BTreeMap<String, (String, u64)>> {
        self.kv.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copies(&self, name: &str) -> Vec<SocketAddr> {
        let services = self.services();
        let copies = services.values().filter(|service| service.name == name);
        copies.map(|service| SocketAddr::new(service.address, service.port)).collect()
    }

    /// Answers when something has changed since `index`, at once where no index is given.
    async fn after(&self, blocking: &Blocking) -> u64 {
        let mut index = self.index.subscribe();
        let Some(known) = blocking.index else { return *index.borrow() };
        let changed = tokio::time::timeout(Duration::from_secs(55), index.wait_for(|now| *now > known)).await;
        changed.ok().and_then(Result::ok).map_or(known, |now| *now)
    }

    async fn register(State(registry): State<Self>, Json(service): Json<Registered>) {
        registry.services().insert(service.id.clone(), service);
        registry.index.send_modify(|index| *index += 1);
    }

    async fn deregister(State(registry): State<Self>, Path(id): Path<String>) {
        registry.services().remove(&id);
        registry.index.send_modify(|index| *index += 1);
    }

    async fn agent_service(State(registry): State<Self>, Path(id): Path<String>) -> StatusCode {
        if registry.services().contains_key(&id) { StatusCode::OK } else { StatusCode::NOT_FOUND }
    }

    async fn health(
        State(registry): State<Self>,
        Path(name): Path<String>,
        Query(blocking): Query<Blocking>,
    ) -> impl IntoResponse {
        let index = registry.after(&blocking).await;
        let services = registry.services();
        let entries: Vec<Value> = services
            .values()
            .filter(|service| service.name == name)
            .map(|service| {
                json!({
                    "Node": {"Address": ""},
                    "Service": {"ID": service.id, "Address": service.address, "Port": service.port, "Meta": service.meta},
                })
            })
            .collect();
        ([("X-Consul-Index", index.to_string())], Json(entries))
    }

    async fn catalog(State(registry): State<Self>, Query(blocking): Query<Blocking>) -> impl IntoResponse {
        let index = registry.after(&blocking).await;
        let services = registry.services();
        let names: BTreeMap<String, Value> =
            services.values().map(|service| (service.name.clone(), json!([]))).collect();
        ([("X-Consul-Index", index.to_string())], Json(names))
    }

    async fn entries(
        State(registry): State<Self>,
        Path(prefix): Path<String>,
        Query(blocking): Query<Blocking>,
    ) -> impl IntoResponse {
        let index = registry.after(&blocking).await;
        let kv = registry.kv();
        let entries: Vec<Value> = kv
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, (text, index))| json!({"Key": key, "Value": BASE64.encode(text), "ModifyIndex": index}))
            .collect();
        let status = if entries.is_empty() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        (status, [("X-Consul-Index", index.to_string())], Json(entries))
    }
}
