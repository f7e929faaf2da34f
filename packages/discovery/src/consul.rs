use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How long a plain call to the local agent may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long Consul holds a blocking query open; it adds up to a sixteenth of it.
pub(crate) const WAIT: Duration = Duration::from_secs(55);

/// What can go wrong with Consul.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent cannot be reached or does not answer in time.
    #[error("Consul at {address} does not answer: {source}")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The agent refused.
    #[error("Consul refused {path}: {status} {body}")]
    Refused {
        /// What was asked for.
        path: String,
        /// How it answered.
        status: StatusCode,
        /// What it said.
        body: String,
        /// Its index then, to wait for a change of it; 0 where it gave none.
        index: u64,
    },
}

/// A client of one Consul agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Consul {
    http: Client,
    address: String,
}

/// A running copy of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instance {
    /// Its id, unique in the mesh.
    pub id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it says of itself.
    pub meta: BTreeMap<String, String>,
}

/// A text in Consul's KV.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its key, slashes and all.
    pub key: String,
    /// What stands there.
    pub text: String,
    /// Consul's index of its last change.
    pub index: u64,
}

/// What a copy of a service tells Consul when it starts.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Unique in the mesh: name, host and port.
    pub id: String,
    /// The service's name.
    pub name: String,
    /// Where others reach it.
    pub address: SocketAddr,
    /// What it says of itself.
    pub meta: BTreeMap<String, String>,
    /// How often Consul asks the gRPC health service about it.
    pub check_every: Duration,
}

impl Consul {
    /// A client of the agent at an address such as `http://127.0.0.1:8500`.
    ///
    /// # Errors
    /// Where no HTTP client can be made, which means that no TLS provider is installed.
    pub fn new(address: &str) -> Result<Self, Error> {
        let address = address.trim_end_matches('/').to_owned();
        let mut http = Client::builder().connect_timeout(Duration::from_secs(1));
        if !address.starts_with("https:") {
            // All the certificates of the system would be read, for nothing.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|source| Error::Unreachable { address: address.clone(), source })?;
        Ok(Self { http, address })
    }

    /// Registers a copy with a gRPC health check. Doing it again replaces what was there.
    ///
    /// # Errors
    /// Where Consul is away or refuses.
    pub async fn register(&self, registration: &Registration) -> Result<(), Error> {
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        let body = serde_json::json!({
            "ID": registration.id,
            "Name": registration.name,
            "Address": registration.address.ip().to_string(),
            "Port": registration.address.port(),
            "Meta": registration.meta,
            "Check": {
                "CheckID": format!("grpc:{}", registration.id),
                "Name": "gRPC health",
                "GRPC": format!("{}/{}", registration.address, registration.name),
                "Interval": format!("{}ms", registration.check_every.as_millis()),
                "Timeout": "2s",
                // Consul's least is a minute; whoever drains leaves by itself long before.
                "DeregisterCriticalServiceAfter": "1m",
            },
        });
        self.send(path, self.http.put(self.url(path)).timeout(TIMEOUT).json(&body)).await.map(drop)
    }

    /// Takes a copy out. One that is not there is no error.
    ///
    /// # Errors
    /// Where Consul is away.
    pub async fn deregister(&self, id: &str) -> Result<(), Error> {
        let path = format!("/v1/agent/service/deregister/{id}");
        match self.send(&path, self.http.put(self.url(&path)).timeout(TIMEOUT)).await {
            Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    /// True where the agent knows the copy: an agent that was restarted may have forgotten it.
    ///
    /// # Errors
    /// Where Consul is away.
    pub async fn knows(&self, id: &str) -> Result<bool, Error> {
        let path = format!("/v1/agent/service/{id}");
        match self.send(&path, self.http.get(self.url(&path)).timeout(TIMEOUT)).await {
            Ok(_) => Ok(true),
            Err(Error::Refused { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The copies of a service that pass their checks, now.
    ///
    /// # Errors
    /// Where Consul is away.
    pub async fn instances(&self, name: &str) -> Result<Vec<Instance>, Error> {
        Ok(self.instances_after(name, None).await?.0)
    }

    /// The copies that pass, and the index of the answer; waits for a change after `index`.
    pub(crate) async fn instances_after(
        &self,
        name: &str,
        index: Option<u64>,
    ) -> Result<(Vec<Instance>, u64), Error> {
        let (entries, index): (Vec<HealthEntry>, u64) =
            self.blocking(&format!("/v1/health/service/{name}?passing=true"), index).await?;
        let mut instances: Vec<Instance> =
            entries.into_iter().filter_map(HealthEntry::into_instance).collect();
        instances.sort();
        Ok((instances, index))
    }

    /// The names of all services, and the index of the answer; waits for a change after `index`.
    pub(crate) async fn services_after(&self, index: Option<u64>) -> Result<(Vec<String>, u64), Error> {
        let (services, index): (BTreeMap<String, Vec<String>>, u64) =
            self.blocking("/v1/catalog/services?", index).await?;
        Ok((services.into_keys().filter(|name| name != "consul").collect(), index))
    }

    /// What stands in the KV under a prefix, sorted by key, now. What is no text is left out.
    ///
    /// # Errors
    /// Where Consul is away.
    pub async fn entries(&self, prefix: &str) -> Result<Vec<Entry>, Error> {
        Ok(self.entries_after(prefix, None).await?.0)
    }

    /// Writes a text into the KV.
    ///
    /// # Errors
    /// Where Consul is away or refuses.
    pub async fn put(&self, key: &str, text: &str) -> Result<(), Error> {
        let path = format!("/v1/kv/{key}");
        self.send(&path, self.http.put(self.url(&path)).timeout(TIMEOUT).body(text.to_owned()))
            .await
            .map(drop)
    }

    /// Takes a key out of the KV. One that is not there is no error.
    ///
    /// # Errors
    /// Where Consul is away or refuses.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let path = format!("/v1/kv/{key}");
        self.send(&path, self.http.delete(self.url(&path)).timeout(TIMEOUT)).await.map(drop)
    }

    /// What stands under a prefix, and the index of the answer; waits for a change after `index`.
    pub(crate) async fn entries_after(
        &self,
        prefix: &str,
        index: Option<u64>,
    ) -> Result<(Vec<Entry>, u64), Error> {
        let path = format!("/v1/kv/{prefix}?recurse=true");
        let (found, index): (Vec<Value>, u64) = match self.blocking(&path, index).await {
            // Nothing there is an answer, too.
            Err(Error::Refused { status: StatusCode::NOT_FOUND, index, .. }) => (Vec::new(), index),
            answer => answer?,
        };
        let mut entries: Vec<Entry> = found.into_iter().filter_map(Value::into_entry).collect();
        entries.sort();
        Ok((entries, index))
    }

    async fn blocking<T: DeserializeOwned>(&self, path: &str, index: Option<u64>) -> Result<(T, u64), Error> {
        let path = match index {
            Some(index) => format!("{path}&index={index}&wait={}s", WAIT.as_secs()),
            None => path.to_owned(),
        };
        let timeout = if index.is_some() { WAIT + WAIT / 8 } else { TIMEOUT };
        let response = self.send(&path, self.http.get(self.url(&path)).timeout(timeout)).await?;
        let next = index_of(&response);
        let body = response.json().await.map_err(|source| self.unreachable(source))?;
        Ok((body, next))
    }

    async fn send(&self, path: &str, request: RequestBuilder) -> Result<reqwest::Response, Error> {
        let response = request.send().await.map_err(|source| self.unreachable(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let index = index_of(&response);
        let body = response.text().await.unwrap_or_default();
        Err(Error::Refused { path: path.to_owned(), status, body, index })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    fn unreachable(&self, source: reqwest::Error) -> Error {
        Error::Unreachable { address: self.address.clone(), source }
    }
}

/// The index of an answer, to wait for a change after it; 0 where it has none.
fn index_of(response: &reqwest::Response) -> u64 {
    let header = response.headers().get("X-Consul-Index");
    header.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value {
    key: String,
    #[serde(default)]
    value: Option<String>,
    modify_index: u64,
}

impl Value {
    /// `None` for what is no text.
    fn into_entry(self) -> Option<Entry> {
        let bytes = BASE64.decode(self.value.unwrap_or_default()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        if text.is_none() {
            tracing::warn!(key = self.key, "what stands there in Consul is no text");
        }
        Some(Entry { key: self.key, text: text?, index: self.modify_index })
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct HealthEntry {
    node: Node,
    service: Service,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    address: String,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    address: String,
    port: u16,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
}

impl HealthEntry {
    /// `None` for a copy registered under a host name: Artel's services give an address.
    fn into_instance(self) -> Option<Instance> {
        let host = if self.service.address.is_empty() { self.node.address } else { self.service.address };
        let ip = host
            .parse()
            .inspect_err(|_| tracing::warn!(service = self.service.id, host, "no IP address"))
            .ok()?;
        Some(Instance {
            id: self.service.id,
            address: SocketAddr::new(ip, self.service.port),
            meta: self.service.meta.unwrap_or_default(),
        })
    }
}
