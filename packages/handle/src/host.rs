use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use artel_client::{Call, CallKey, Channel, Channels, Limits};
use artel_config::{Config, Secret, Section, Shape};
use artel_discovery::Consul;
use artel_queue::Broker;
use artel_repo::Repo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::admission::Bounds;
use crate::keys::Keys;
use crate::logs;
use crate::settings::{Live, Settings, Versions};
use crate::traces;

/// The documented defaults of the section `[mesh]`.
pub const MESH_DEFAULTS: &str = include_str!("../config.toml");
/// The section `[mesh]`, for commands.
pub const MESH_SECTION: Shape = Shape::of::<Mesh>();

/// The section `[mesh]`: what every process needs to know. `config.toml` says what each key means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Mesh {
    pub consul: String,
    pub rabbitmq: Secret,
    pub redis: Secret,
    pub bind: String,
    pub advertise: String,
    pub mesh_key: Secret,
    pub default_workspace: String,
    pub drain_grace_ms: u64,
    pub drain_timeout_ms: u64,
    pub check_interval_ms: u64,
    pub max_message_bytes: usize,
    pub max_concurrent_calls: usize,
    pub max_open_streams: usize,
    pub max_connection_streams: u32,
    pub shed_latency_ms: u64,
    pub shed_factor: f64,
    pub shed_least_calls: usize,
    pub edge_share_percent: u8,
    pub remembered_tokens: usize,
    pub call_timeout_ms: u64,
    pub call_most_waiting: usize,
    pub call_attempts: usize,
    pub call_retry_percent: u32,
    pub call_retry_reserve: u32,
    pub leave_alone_after_failures: u32,
    pub leave_alone_first_ms: u64,
    pub leave_alone_longest_ms: u64,
    pub listen_concurrency: u16,
    pub log_format: String,
    pub log: String,
    pub fluent: String,
    pub fluent_tag: String,
    pub fluent_buffer_lines: usize,
    pub fluent_buffer_bytes: usize,
    pub otlp: String,
    pub otlp_queue: usize,
    pub trace_percent: f64,
}

impl Section for Mesh {
    const DEFAULTS: &'static str = MESH_DEFAULTS;
    const LIVE: &'static [&'static str] = &["log", "trace_percent"];
    const LOCAL: &'static [&'static str] = &["consul", "bind", "advertise"];

    fn check(&self) -> anyhow::Result<()> {
        logs::filter(&self.log)
            .context("mesh.log must be a level or directives such as info,artel_persist=debug")?;
        ensure!(
            (0.0..=100.0).contains(&self.trace_percent),
            "mesh.trace_percent must be between 0 and 100, is {}",
            self.trace_percent
        );
        let counts = [
            ("max_message_bytes", self.max_message_bytes),
            ("max_concurrent_calls", self.max_concurrent_calls),
            ("max_open_streams", self.max_open_streams),
            ("max_connection_streams", self.max_connection_streams as usize),
            ("shed_least_calls", self.shed_least_calls),
            ("call_most_waiting", self.call_most_waiting),
            ("call_attempts", self.call_attempts),
            ("remembered_tokens", self.remembered_tokens),
            ("leave_alone_after_failures", self.leave_alone_after_failures as usize),
        ];
        for (key, count) in counts {
            ensure!(count > 0, "mesh.{key} must be at least 1");
        }
        ensure!(
            self.shed_least_calls <= self.max_concurrent_calls,
            "mesh.shed_least_calls must be at most max_concurrent_calls, {}, is {}",
            self.max_concurrent_calls,
            self.shed_least_calls
        );
        ensure!(self.shed_latency_ms > 0, "mesh.shed_latency_ms must be at least 1");
        ensure!(
            (1.0..=100.0).contains(&self.shed_factor),
            "mesh.shed_factor must be 1 to 100, is {}",
            self.shed_factor
        );
        ensure!(
            (1..=100).contains(&self.edge_share_percent),
            "mesh.edge_share_percent must be 1 to 100, is {}",
            self.edge_share_percent
        );
        Ok(())
    }
}

impl Mesh {
    /// How much a service takes on.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            most: self.max_concurrent_calls,
            streams: self.max_open_streams,
            least: self.shed_least_calls,
            latency: Duration::from_millis(self.shed_latency_ms),
            factor: self.shed_factor,
            edge: f64::from(self.edge_share_percent) / 100.0,
        }
    }

    /// How much its channels try and hold.
    fn limits(&self) -> Limits {
        Limits {
            timeout: Duration::from_millis(self.call_timeout_ms),
            message_bytes: self.max_message_bytes,
            waiting: self.call_most_waiting,
            attempts: self.call_attempts,
            retry_percent: self.call_retry_percent,
            retry_reserve: self.call_retry_reserve,
            failures: self.leave_alone_after_failures,
            first_break: Duration::from_millis(self.leave_alone_first_ms),
            longest_break: Duration::from_millis(self.leave_alone_longest_ms),
        }
    }
}

/// What a service finds around it: its configuration, the other services, storage, the broker.
#[derive(Clone)]
pub struct Host {
    name: &'static str,
    process: Arc<Process>,
    channels: Channels,
}

/// What the services of one process share.
struct Process {
    settings: Settings,
    /// As it was at the start.
    mesh: Arc<Mesh>,
    mesh_now: Live<Mesh>,
    consul: Consul,
    call_key: CallKey,
    keys: Keys,
    draining: CancellationToken,
}

impl Host {
    /// The surroundings of one process, seen as its first service, configured by the file and the environment alone.
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the section `[mesh]` is wrong.
    pub fn new(config: Config, draining: CancellationToken) -> anyhow::Result<Self> {
        Self::over(Settings::fixed(config, draining.clone()), draining)
    }

    /// The same with what Consul's KV says, now and as it changes. Where Consul does not answer, what it says is taken
    /// as soon as it does.
    ///
    /// # Errors
    /// Where the file or the environment is wrong about the section `[mesh]`.
    pub async fn open(config: Config, draining: CancellationToken) -> anyhow::Result<Self> {
        // Where Consul is cannot come from Consul.
        let mesh: Mesh = config.section("mesh", MESH_DEFAULTS)?;
        let settings = Settings::follow(config, &Consul::new(&mesh.consul)?, draining.clone()).await;
        Self::over(settings, draining)
    }

    fn over(settings: Settings, draining: CancellationToken) -> anyhow::Result<Self> {
        let mesh_now: Live<Mesh> = settings.live("mesh", MESH_SECTION)?;
        let mesh = mesh_now.get();
        let call_key = CallKey::remembering(mesh.mesh_key.reveal(), mesh.remembered_tokens)?;
        let consul = Consul::new(&mesh.consul)?;
        let channels = Channels::new("mesh", consul.clone(), call_key.clone()).with(mesh.limits());
        let keys = Keys::new(channels.to("identity"), "mesh", mesh.remembered_tokens);
        let process = Process { settings, mesh, mesh_now, consul, call_key, keys, draining };
        Ok(Self { name: "mesh", process: Arc::new(process), channels })
    }

    /// The same process as another of its services sees it.
    #[must_use]
    pub fn of(&self, name: &'static str) -> Self {
        Self { name, process: Arc::clone(&self.process), channels: self.channels.acting_as(name) }
    }

    /// The service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The service's section of the configuration over its defaults. What changes later takes effect after a restart.
    ///
    /// # Errors
    /// For an unknown key or a wrong value.
    pub fn section<T>(&self, defaults: &'static str) -> anyhow::Result<T>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        Ok(self.process.settings.once(self.name, Shape::plain(defaults))?)
    }

    /// The service's section of the configuration, in which the keys that are live change while the process runs.
    ///
    /// # Errors
    /// Where the file or the environment is wrong.
    pub fn settings<S: Section>(&self) -> anyhow::Result<Live<S>> {
        Ok(self.process.settings.live(self.name, Shape::of::<S>())?)
    }

    /// The section `[mesh]`, as it was at the start.
    #[must_use]
    pub fn mesh(&self) -> &Mesh {
        &self.process.mesh
    }

    /// Consul.
    #[must_use]
    pub fn consul(&self) -> &Consul {
        &self.process.consul
    }

    /// A channel to another service.
    #[must_use]
    pub fn channel(&self, service: &str) -> Channel {
        self.channels.to(service)
    }

    /// Storage.
    #[must_use]
    pub fn repo(&self) -> Repo {
        Repo::new(self.channel("persist"))
    }

    /// RabbitMQ, as this service is seen there.
    ///
    /// # Errors
    /// Where `mesh.rabbitmq` is no AMQP address.
    pub fn broker(&self) -> anyhow::Result<Broker> {
        Ok(Broker::new(&self.process.mesh.rabbitmq, self.name)?)
    }

    /// A call that the service makes on its own account, in the default workspace.
    #[must_use]
    pub fn call(&self) -> Call {
        Call::by_service(self.name, &self.process.mesh.default_workspace)
    }

    /// Cancelled when the process begins to drain.
    #[must_use]
    pub fn draining(&self) -> &CancellationToken {
        &self.process.draining
    }

    pub(crate) fn versions(&self) -> watch::Receiver<Versions> {
        self.process.settings.versions()
    }

    /// Says what could not be said before there was a log, and lets its filter and the share of traces change.
    pub(crate) fn follow_mesh(&self) {
        if !self.process.settings.known() {
            tracing::warn!("Consul does not answer; the file and the environment stand alone until it does");
        }
        if let Some(version) =
            self.versions().borrow().get("mesh").and_then(|version| version.refused.clone())
        {
            tracing::error!(section = "mesh", version, "configuration refused; `artel config mesh` says why");
        }
        let (mut mesh, draining) = (self.process.mesh_now.clone(), self.process.draining.clone());
        tokio::spawn(draining.run_until_cancelled_owned(async move {
            loop {
                let now = mesh.changed().await;
                if let Err(error) = logs::set_filter(&now.log).and_then(|()| traces::set_share(&now)) {
                    tracing::error!(%error, "the section `mesh` stays as it was");
                }
            }
        }));
    }

    pub(crate) fn call_key(&self) -> &CallKey {
        &self.process.call_key
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.process.keys
    }

    pub(crate) fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.process.mesh.drain_grace_ms)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.process.mesh.drain_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_limited_as_the_configuration_says() {
        let mesh: Mesh = Config::default().section("mesh", MESH_DEFAULTS).unwrap();
        assert_eq!(mesh.limits(), Limits::default());
    }
}
