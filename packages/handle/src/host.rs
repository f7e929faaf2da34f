use std::sync::Arc;
use std::time::Duration;

use artel_client::{Call, CallKey, Channel, Channels};
use artel_config::{Config, Secret};
use artel_discovery::Consul;
use artel_queue::Broker;
use artel_repo::Repo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::keys::Keys;

/// The documented defaults of the section `[mesh]`.
pub const MESH_DEFAULTS: &str = include_str!("../config.toml");

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
    pub listen_concurrency: u16,
    pub log_format: String,
    pub log: String,
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
    config: Config,
    mesh: Mesh,
    consul: Consul,
    call_key: CallKey,
    keys: Keys,
    draining: CancellationToken,
}

impl Host {
    /// The surroundings of one process, seen as its first service. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where the section `[mesh]` is wrong.
    pub fn new(config: Config, draining: CancellationToken) -> anyhow::Result<Self> {
        let mesh: Mesh = config.section("mesh", MESH_DEFAULTS)?;
        let call_key = CallKey::new(mesh.mesh_key.reveal())?;
        let consul = Consul::new(&mesh.consul)?;
        let channels = Channels::new("mesh", consul.clone(), call_key.clone());
        let keys = Keys::new(channels.to("identity"), "mesh");
        let process = Process { config, mesh, consul, call_key, keys, draining };
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

    /// The service's section of the configuration over its defaults.
    ///
    /// # Errors
    /// For an unknown key or a wrong value.
    pub fn section<T: DeserializeOwned>(&self, defaults: &str) -> anyhow::Result<T> {
        Ok(self.process.config.section(self.name, defaults)?)
    }

    /// The section `[mesh]`.
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
