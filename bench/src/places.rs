//! Where the components are that `cargo xtask bench` started, as its `endpoints.json` says.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// The places.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Places {
    /// The owner's URL of the database, over TCP.
    pub postgres: String,
    /// The superuser's.
    pub postgres_superuser: String,
    /// The folder of the Unix socket.
    pub postgres_socket: PathBuf,
    /// Consul's agent.
    pub consul: String,
    /// The door, once Envoy runs.
    pub api: String,
    /// RabbitMQ.
    pub rabbitmq: String,
    /// The secret that services sign their calls with.
    pub mesh_key_file: PathBuf,
    /// The configuration of the services.
    pub config: PathBuf,
    /// The folder that holds everything.
    pub state: PathBuf,
    /// What Envoy is started with.
    #[serde(skip)]
    pub envoy_bootstrap: PathBuf,
}

impl Places {
    /// Reads them.
    pub fn find() -> Result<Self> {
        let file = std::env::var("ARTEL_ENDPOINTS")
            .context("no components: start this through `cargo xtask bench`")?;
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let mut places: Self = serde_json::from_str(&text)
            .with_context(|| format!("{file} is not what `cargo xtask bench` writes"))?;
        places.envoy_bootstrap = places.state.join("config/envoy.yaml");
        Ok(places)
    }

    /// The number of a process that `xtask` started.
    pub fn pid(&self, process: &str) -> Result<u32> {
        let file = self.state.join("run").join(format!("{process}.pid"));
        let text = fs::read_to_string(&file).with_context(|| format!("{process} does not run"))?;
        text.trim().parse().with_context(|| format!("{} holds no number", file.display()))
    }

    /// The owner's URL over the Unix socket: what stands in the services' own configuration.
    pub fn owner_over_socket(&self) -> String {
        let folder = self.postgres_socket.display().to_string();
        self.postgres.replace("@127.0.0.1:", &format!("@{}:", folder.replace('%', "%25").replace('/', "%2F")))
    }

    /// The superuser's URL of the mesh's database.
    pub fn superuser(&self) -> String {
        let server = self.postgres_superuser.rsplit_once('/').map_or("", |(server, _)| server);
        format!("{server}/artel")
    }
}
