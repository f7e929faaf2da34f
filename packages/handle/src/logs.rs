use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends log lines to standard error: for people (`console`) or machines (`json`).
///
/// # Errors
/// Where the filter cannot be read or a logger is there already.
pub fn init(format: &str, filter: &str) -> anyhow::Result<()> {
    // lapin logs each event that nobody listens to with all its content, people's data included.
    let filter = EnvFilter::try_new(filter)?.add_directive("lapin::returned_messages=off".parse()?);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        "json" => {
            registry.with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)).try_init()?
        }
        "console" => registry.with(fmt::layer().with_writer(std::io::stderr)).try_init()?,
        other => anyhow::bail!("mesh.log_format must be console or json, is `{other}`"),
    }
    Ok(())
}
