//! What an operator may set; `config.toml` documents every value.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use artel_config::{Section, Shape};
use artel_handle::Mesh;
use serde::{Deserialize, Serialize};

use crate::limits::Limits;

/// The documented defaults of section `[gateway]`.
pub const DEFAULTS: &str = include_str!("../config.toml");

/// The section's shape, for `artel config`.
pub const SECTION: Shape = Shape::of::<GatewayConfig>();

/// A collector of traces.
#[derive(Debug, Clone)]
pub struct Collector {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What share of the traces that start at the edge is collected, in percent.
    pub percent: f64,
}

/// The section `[gateway]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where Envoy's spans go; the section `[mesh]` says it for everybody.
    #[serde(skip)]
    pub collector: Option<Collector>,
    /// Where Envoy finds its control plane.
    pub xds_bind: SocketAddr,
    /// Where Envoy listens to the world.
    pub edge_bind: SocketAddr,
    /// Origins whose pages may call the API; `*` for any.
    pub cors_origins: Vec<String>,
    /// How long a call may take in all.
    pub timeout_ms: u64,
    /// How long a streaming call may be silent.
    pub idle_timeout_ms: u64,
    /// How long a request's headers may take to arrive.
    pub headers_timeout_ms: u64,
    /// Greatest body of a request that is not a stream.
    pub max_body_bytes: u32,
    /// Greatest body that a system outside may send to `/webhooks`.
    pub webhook_max_body_bytes: u32,
    /// Greatest JSON answer.
    pub max_answer_bytes: u32,
    /// Greatest headers in KiB.
    pub max_headers_kib: u32,
    /// Most headers.
    pub max_headers: u32,
    /// How long a connection to a service may take to open.
    pub connect_timeout_ms: u64,
    /// Most requests under way to one service.
    pub max_requests: u32,
    pub max_streams: u32,
    /// Most requests that wait for a connection to one service.
    pub max_pending_requests: u32,
    /// Most retries of one call.
    pub max_retries: u32,
    /// What part of the calls under way may be retries, in percent.
    pub retry_budget_percent: u8,
    /// How long Envoy keeps the public keys.
    pub keys_cache_seconds: u32,
    /// How many tokens each of Envoy's threads remembers as good; 0 for none.
    pub remembered_tokens: u32,
    /// What part of the calls that were fast and fine is logged, in percent.
    pub access_log_percent: u8,
    /// From when on a call is slow.
    pub slow_ms: u32,
    /// From which size on answers are compressed; 0 for never.
    pub compress_from_bytes: u32,
    /// HTTPS.
    pub tls: Tls,
    /// How many requests are taken.
    pub limits: Limits,
}

/// The table `[gateway.tls]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Where Envoy opens HTTPS; empty for nowhere.
    pub bind: String,
    /// Certificates and private key, as Envoy finds them.
    pub pem: String,
    /// How long browsers come over HTTPS only.
    pub hsts_seconds: u32,
}

/// A value that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("gateway.{key}: {problem}")]
pub struct ConfigError {
    key: String,
    problem: String,
}

impl Section for GatewayConfig {
    const DEFAULTS: &'static str = DEFAULTS;
    const LIVE: &'static [&'static str] = &["cors_origins", "limits"];
    // Each copy has its own.
    const LOCAL: &'static [&'static str] = &["xds_bind", "edge_bind", "tls.bind", "tls.pem"];

    fn check(&self) -> anyhow::Result<()> {
        Ok(self.possible()?)
    }
}

impl GatewayConfig {
    /// The same, with Envoy's spans sent where the services' go.
    #[must_use]
    pub fn collected_by(self: &Arc<Self>, mesh: &Mesh) -> Arc<Self> {
        let address: Option<http::Uri> = mesh.otlp.parse().ok();
        let collector = address.and_then(|address| {
            let host = address.host()?.trim_matches(['[', ']']).to_owned();
            Some(Collector { host, port: address.port_u16()?, percent: mesh.trace_percent })
        });
        Arc::new(Self { collector, ..Self::clone(self) })
    }

    /// Refuses values that would leave the edge closed or open too far.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub fn possible(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.edge_bind.port() != 0, "edge_bind", "needs a port of its own, not 0"),
            (self.timeout_ms > 0, "timeout_ms", "must be greater than 0"),
            (self.idle_timeout_ms > 0, "idle_timeout_ms", "must be greater than 0"),
            (self.headers_timeout_ms > 0, "headers_timeout_ms", "must be greater than 0"),
            (self.connect_timeout_ms > 0, "connect_timeout_ms", "must be greater than 0"),
            ((1024..=1 << 30).contains(&self.max_body_bytes), "max_body_bytes", "must be 1 KiB to 1 GiB"),
            (
                (1024..=1 << 24).contains(&self.webhook_max_body_bytes),
                "webhook_max_body_bytes",
                "must be 1 KiB to 16 MiB",
            ),
            ((1024..=1 << 30).contains(&self.max_answer_bytes), "max_answer_bytes", "must be 1 KiB to 1 GiB"),
            ((1..=96).contains(&self.max_headers_kib), "max_headers_kib", "must be 1 to 96"),
            (self.max_headers >= 20, "max_headers", "must be at least 20"),
            (self.max_requests > 0, "max_requests", "must be greater than 0"),
            (self.max_streams > 0, "max_streams", "must be greater than 0"),
            (self.max_pending_requests > 0, "max_pending_requests", "must be greater than 0"),
            (self.max_retries <= 10, "max_retries", "must be at most 10"),
            (self.retry_budget_percent <= 100, "retry_budget_percent", "must be at most 100"),
            ((6..=30).contains(&self.keys_cache_seconds), "keys_cache_seconds", "must be 6 to 30"),
            (self.remembered_tokens <= 100_000, "remembered_tokens", "must be at most 100000"),
            (self.access_log_percent <= 100, "access_log_percent", "must be at most 100"),
            (self.tls.is_readable(), "tls.bind", "must be an address with a port, as 0.0.0.0:8443, or empty"),
            (
                self.tls_bind() != Some(self.edge_bind),
                "tls.bind",
                "must be another address than edge_bind, which is without TLS",
            ),
            (
                self.tls.bind.is_empty() || !self.tls.pem.is_empty(),
                "tls.pem",
                "must name the file with certificate and key where tls.bind is set",
            ),
        ];
        match rules.into_iter().find(|(fine, ..)| !fine) {
            Some((_, key, problem)) => Err(ConfigError { key: key.to_owned(), problem: problem.to_owned() }),
            None => self.limits.possible().map_err(|(key, problem)| ConfigError { key, problem }),
        }
    }

    /// Where Envoy opens HTTPS, if it does.
    pub(crate) fn tls_bind(&self) -> Option<SocketAddr> {
        self.tls.bind.parse().ok()
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
}

impl Tls {
    fn is_readable(&self) -> bool {
        self.bind.is_empty() || self.bind.parse::<SocketAddr>().is_ok_and(|bind| bind.port() != 0)
    }
}
