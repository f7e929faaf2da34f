//! Where log lines go: standard error, for people or machines, and a Fluent receiver if there is one.

use std::io::stderr;
use std::sync::OnceLock;
use std::time::Duration;

use artel_logger::{FluentLayer, Forwarder, Limits, Settings};
use tracing_subscriber::Layer as _;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::host::Mesh;

/// What the receiver has not acknowledged within this is sent again.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(15);
/// How long the last lines of a process may take.
const LAST_LINES: Duration = Duration::from_secs(3);

/// The filter in force, to be replaced.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// The logs of a running process. Lines go to the receiver for as long as it lives.
pub(crate) struct Logs(Option<Forwarder>);

/// Sends log lines to standard error: for people (`console`) or machines (`json`).
///
/// # Errors
/// Where the filter cannot be read or a logger is there already.
pub fn init(format: &str, filter: &str) -> anyhow::Result<()> {
    install(format, filter, None)
}

/// Sends log lines where the section `[mesh]` says; what names no service is said by `process`. Must be called within
/// a tokio runtime.
pub(crate) fn start(mesh: &Mesh, process: &str) -> anyhow::Result<Logs> {
    if mesh.fluent.is_empty() {
        install(&mesh.log_format, &mesh.log, None)?;
        return Ok(Logs(None));
    }
    let (layer, forwarder) = artel_logger::start(Settings {
        address: mesh.fluent.clone(),
        tag: mesh.fluent_tag.clone(),
        service: process.to_owned(),
        limits: Limits { records: mesh.fluent_buffer_lines, bytes: mesh.fluent_buffer_bytes },
        acknowledged_within: ACKNOWLEDGED_WITHIN,
    });
    install(&mesh.log_format, &mesh.log, Some(layer))?;
    Ok(Logs(Some(forwarder)))
}

impl Logs {
    /// Sends what the receiver does not have yet, for a moment.
    pub(crate) async fn drain(self) {
        let Some(forwarder) = self.0 else { return };
        let lines = forwarder.drain(LAST_LINES).await;
        if lines > 0 {
            tracing::warn!(lines, "log lines were not sent: the receiver did not take them in time");
        }
    }
}

/// Reads a filter: a level, or directives such as `info,artel_persist=debug`.
pub(crate) fn filter(directives: &str) -> anyhow::Result<Targets> {
    // By what logs and how loud alone: a filter that also looks at what spans hold has to look at each of them.
    let filter: Targets = directives.parse()?;
    // lapin logs each event that nobody listens to with all its content, people's data included.
    Ok(filter.with_target("lapin::returned_messages", LevelFilter::OFF))
}

/// Takes another filter from now on; nothing happens where there is no log.
pub(crate) fn set_filter(directives: &str) -> anyhow::Result<()> {
    let filter = filter(directives)?;
    if let Some(handle) = FILTER.get() {
        handle.reload(filter)?;
    }
    Ok(())
}

fn install(format: &str, filter: &str, fluent: Option<FluentLayer>) -> anyhow::Result<()> {
    let (filter, handle) = reload::Layer::new(self::filter(filter)?);
    let console = match format {
        "json" => fmt::layer().json().flatten_event(true).with_writer(stderr).boxed(),
        "console" => fmt::layer().with_writer(stderr).boxed(),
        other => anyhow::bail!("mesh.log_format must be console or json, is `{other}`"),
    };
    tracing_subscriber::registry().with(filter).with(fluent).with(console).try_init()?;
    let _ = FILTER.set(handle);
    Ok(())
}
