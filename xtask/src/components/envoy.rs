//! Envoy, the only door from outside. It gets its configuration from the gateway service.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Context;
use crate::process::{Kind, Spec};
use crate::{files, http};

pub const BOOTSTRAP: &str = include_str!("../../../envoy/bootstrap.yaml");
/// What is under way at an end has this long.
const DRAIN: Duration = Duration::from_secs(3);

/// Starts it. It is ready once the gateway has given it a first configuration.
pub fn start(context: &Context) -> Result<String> {
    let Context { state, tools, supervisor, .. } = context;
    let file = configure(context)?;
    let spec = Spec::new("envoy", Kind::Edge, &tools.envoy, state)
        .args(["-c".to_owned(), file.display().to_string()])
        .args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"])
        .args(["--drain-time-s".to_owned(), DRAIN.as_secs().to_string()])
        .at(api(context));
    let ready = format!("{}/ready", admin(context));
    supervisor.start_and_wait(spec, Duration::from_secs(60), || {
        Ok(http::get(&ready, None, Duration::from_secs(2))?.ok())
    })?;
    Ok(api(context))
}

/// Writes what it is started with.
pub fn configure(context: &Context) -> Result<PathBuf> {
    let Context { state, ports, .. } = context;
    let file = state.config("envoy.yaml");
    files::write_public(&file, &bootstrap(&ports.text("envoy_admin"), &ports.text("xds"))?)?;
    Ok(file)
}

/// The bootstrap for these ports on loopback.
pub fn bootstrap(admin_port: &str, xds_port: &str) -> Result<String> {
    files::fill(
        BOOTSTRAP,
        &[
            ("admin_host", "127.0.0.1"),
            ("admin_port", admin_port),
            ("xds_host", "127.0.0.1"),
            ("xds_port", xds_port),
        ],
    )
}

/// Lets what is under way end, and takes nothing new.
pub fn drain(context: &Context) {
    let admin = admin(context);
    let limit = Duration::from_secs(1);
    let asked = http::post(&format!("{admin}/healthcheck/fail"), limit)
        .and_then(|_| http::post(&format!("{admin}/drain_listeners?graceful&skip_exit"), limit));
    let end = Instant::now() + DRAIN;
    while asked.is_ok() && Instant::now() < end && busy(&admin) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether calls from outside are under way.
fn busy(admin: &str) -> bool {
    let url = format!("{admin}/stats?filter=^http\\..*downstream_rq_active$");
    let Ok(answer) = http::get(&url, None, Duration::from_secs(1)) else { return false };
    let calls = |line: &str| line.rsplit_once(": ").and_then(|(_, count)| count.trim().parse::<u64>().ok());
    // The question itself is a call on the admin listener.
    answer.text.lines().filter(|line| !line.starts_with("http.admin.")).filter_map(calls).any(|it| it > 0)
}

pub fn api(context: &Context) -> String {
    format!("http://127.0.0.1:{}", context.ports.get("edge"))
}

/// The API over HTTPS, by the name that the certificate is for.
pub fn api_tls(context: &Context) -> String {
    format!("https://localhost:{}", context.ports.get("edge_tls"))
}

pub fn admin(context: &Context) -> String {
    format!("http://127.0.0.1:{}", context.ports.get("envoy_admin"))
}
