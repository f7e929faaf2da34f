use anyhow::Result;

use crate::certificates::Certificates;
use crate::mesh::{self, Instance};
use crate::ports::Ports;
use crate::process;
use crate::progress::seconds;
use crate::state::State;

/// Show what runs: process, address, health, for how long
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask status\n  cargo xtask --state /tmp/mine status")]
pub struct Args {}

pub fn run(state: &State, _: &Args) -> Result<()> {
    let records = process::records(state);
    let Some(owner) = state.owner() else {
        say!("nothing runs from {}; `cargo xtask up` starts it", state.root().display());
        let left: Vec<&str> =
            records.iter().filter(|(_, it)| it.alive()).map(|(name, _)| name.as_str()).collect();
        if !left.is_empty() {
            say!("left over from a run that was killed: {}; `cargo xtask down` ends it", left.join(", "));
        }
        return Ok(());
    };
    let ready = state.ready_marker().exists();
    say!(
        "{} (process {owner}, state in {})\n",
        if ready { "everything is up" } else { "starting or stopping" },
        state.root().display()
    );
    say!("{:<12} {:>8}  {:<10} {:>8}  ADDRESS", "PROCESS", "PID", "UPTIME", "RESTARTS");
    let mut rows: Vec<_> = records.iter().collect();
    rows.sort_by_key(|(_, record)| record.kind);
    for (name, record) in rows {
        let uptime = if record.alive() { seconds(record.uptime()) } else { "dead".to_owned() };
        say!("{name:<12} {:>8}  {uptime:<10} {:>8}  {}", record.pid, record.restarts, record.address);
    }
    let ports = Ports::remembered(state);
    let authority = Certificates::of(&state.tls()).authority;
    if let Some(port) = ports.get("edge_tls").filter(|_| authority.is_file()) {
        say!("\nHTTPS: https://localhost:{port}, trusted with `curl --cacert {}`", authority.display());
    }
    let Some(port) = ports.get("consul").copied() else { return Ok(()) };
    match mesh::instances(&format!("http://127.0.0.1:{port}")) {
        Err(error) => say!("\nConsul doesn't answer: {error:#}"),
        Ok(services) if services.values().all(Vec::is_empty) => {}
        Ok(services) => {
            say!("\n{:<12} {:<10} ADDRESS", "SERVICE", "HEALTH");
            for (name, instances) in services {
                show(&name, &instances);
            }
        }
    }
    Ok(())
}

fn show(name: &str, instances: &[Instance]) {
    if instances.is_empty() {
        say!("{name:<12} not registered in Consul");
    }
    for instance in instances {
        say!("{name:<12} {:<10} {}", instance.status, instance.address);
    }
}
