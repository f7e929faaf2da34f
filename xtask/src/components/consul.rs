//! Consul: one persistent server. What it knows about services is forgotten at each start (they register
//! again by themselves); its key-value store is kept.

use std::fs;
use std::time::Duration;

use anyhow::Result;

use super::Context;
use crate::process::{Kind, Spec};
use crate::{files, http};

pub const CONFIG: &str = include_str!("../../../consul/agent.json");

pub fn start(context: &Context) -> Result<String> {
    let Context { state, tools, ports, supervisor, .. } = context;
    let data = state.data("consul")?;
    for stale in ["services", "checks"] {
        let folder = data.join(stale);
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
    }
    let config = files::fill(
        CONFIG,
        &[
            ("data", &data.display().to_string()),
            ("bind", "127.0.0.1"),
            ("port", &ports.text("consul")),
            ("server_port", &ports.text("consul_server")),
            ("gossip_port", &ports.text("consul_gossip")),
        ],
    )?;
    let file = state.config("consul.json");
    files::write_public(&file, &config)?;
    let spec = Spec::new("consul", Kind::Component, &tools.consul, state)
        .args(["agent".to_owned(), format!("-config-file={}", file.display())])
        .at(url(context));
    let base = url(context);
    supervisor.start_and_wait(spec, Duration::from_secs(60), || {
        // A leader, and itself in the catalogue: from here on registrations are taken.
        let leader = http::get(&format!("{base}/v1/status/leader"), None, Duration::from_secs(2))?;
        let node = http::get(&format!("{base}/v1/catalog/node/artel"), None, Duration::from_secs(2))?;
        Ok(leader.ok() && leader.text.len() > 2 && node.ok() && node.text.trim() != "null")
    })?;
    Ok(base)
}

pub fn url(context: &Context) -> String {
    format!("http://127.0.0.1:{}", context.ports.get("consul"))
}
