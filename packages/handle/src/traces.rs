//! Where the spans of this process go.

use std::time::Duration;

use anyhow::Context as _;
use artel_trace::{Exporter, Settings};

use crate::host::Mesh;

/// How long the last spans of a process may take.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// The traces of a running process. Spans go to the collector for as long as it lives.
pub(crate) struct Traces(Option<Exporter>);

/// Sends spans where the section `[mesh]` says. Must be called within a tokio runtime.
pub(crate) fn start(mesh: &Mesh) -> anyhow::Result<Traces> {
    if mesh.otlp.is_empty() {
        return Ok(Traces(None));
    }
    let settings = Settings { address: mesh.otlp.clone(), queue: mesh.otlp_queue };
    let exporter = artel_trace::start(&settings).context("mesh.otlp")?;
    set_share(mesh)?;
    Ok(Traces(Some(exporter)))
}

/// Takes another share from now on.
pub(crate) fn set_share(mesh: &Mesh) -> anyhow::Result<()> {
    let share = if mesh.otlp.is_empty() { 0.0 } else { mesh.trace_percent };
    artel_trace::set_share(share).context("mesh.trace_percent")
}

impl Traces {
    /// Sends what the collector does not have yet, for a moment.
    pub(crate) async fn drain(self) {
        if let Some(exporter) = self.0 {
            exporter.drain(LAST_SPANS).await;
        }
    }
}
