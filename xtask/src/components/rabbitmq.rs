//! RabbitMQ, and the name server (epmd) that Erlang needs beside it.
//!
//! Left alone, Erlang starts an epmd that outlives it. Ours is there first, as a process like any other.

use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use sha2::{Digest, Sha256};

use super::Context;
use crate::process::{Kind, Spec};
use crate::{files, http};

pub const CONFIG: &str = include_str!("../../../system/queue/rabbitmq.conf");
pub const DEFINITIONS: &str = include_str!("../../../system/queue/definitions.json");
pub const PLUGINS: &str = include_str!("../../../system/queue/enabled_plugins");
/// One node a state folder; the own epmd keeps it apart from others of the same name.
const NODE: &str = "artel@localhost";
pub const USER: &str = "artel";

pub fn start(context: &Context) -> Result<String> {
    let Context { state, tools, ports, secrets, supervisor, .. } = context;
    let epmd = Spec::new("epmd", Kind::Ground, &tools.epmd, state)
        .args(["-address", "127.0.0.1", "-port", &ports.text("epmd")])
        .grace(Duration::from_secs(2))
        .at(format!("127.0.0.1:{}", ports.get("epmd")));
    supervisor.start_and_wait(epmd, Duration::from_secs(10), || {
        Ok(std::net::TcpStream::connect(("127.0.0.1", ports.get("epmd"))).is_ok())
    })?;

    let password = secrets.password("rabbitmq")?;
    let home = state.data("rabbitmq")?;
    let definitions = state.config("rabbitmq-definitions.json");
    files::write_private(&definitions, &files::fill(DEFINITIONS, &[("password_hash", &hash(&password))])?)?;
    let plugins = state.config("rabbitmq-plugins");
    files::write_public(&plugins, PLUGINS)?;
    let config = state.config("rabbitmq.conf");
    let text = files::fill(
        CONFIG,
        &[
            ("bind", "127.0.0.1"),
            ("port", &ports.text("rabbitmq")),
            ("management_port", &ports.text("rabbitmq_management")),
            ("definitions", &definitions.display().to_string()),
        ],
    )?;
    files::write_public(&config, &text)?;

    let path = |path: &std::path::Path| path.display().to_string();
    let spec = Spec::new("rabbitmq", Kind::Component, &tools.rabbitmq_server, state)
        .env("HOME", path(&home))
        .env("ERL_EPMD_PORT", ports.text("epmd"))
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODENAME", NODE)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        .env("RABBITMQ_CONFIG_FILE", path(&config))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", path(&state.config("rabbitmq-advanced.config")))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", path(&plugins))
        .env("RABBITMQ_MNESIA_BASE", path(&home.join("mnesia")))
        .env("RABBITMQ_LOG_BASE", path(&state.logs()))
        .env("RABBITMQ_LOGS", "-")
        .env("RABBITMQ_PID_FILE", path(&home.join("pid")))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", ports.text("rabbitmq"))
        .env("RABBITMQ_DIST_PORT", ports.text("rabbitmq_distribution"))
        // The script then becomes the server instead of waiting beside it: one process, one pid.
        .env("RUNNING_UNDER_SYSTEMD", "true")
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} \
             +S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        )
        .grace(Duration::from_secs(30))
        .at(format!("127.0.0.1:{}", ports.get("rabbitmq")));
    let check = format!("{}/api/health/checks/virtual-hosts", management(context));
    supervisor.start_and_wait(spec, Duration::from_secs(120), || {
        let login = Some((USER, password.as_str()));
        let listens = std::net::TcpStream::connect(("127.0.0.1", ports.get("rabbitmq"))).is_ok();
        Ok(listens && http::get(&check, login, Duration::from_secs(5))?.ok())
    })?;
    Ok(format!("127.0.0.1:{}, management {}", ports.get("rabbitmq"), management(context)))
}

/// Where its management UI and API are.
pub fn management(context: &Context) -> String {
    format!("http://127.0.0.1:{}", context.ports.get("rabbitmq_management"))
}

pub fn management_with_login(context: &Context) -> Result<String> {
    let password = context.secrets.password("rabbitmq")?;
    Ok(format!("http://{USER}:{password}@127.0.0.1:{}", context.ports.get("rabbitmq_management")))
}

pub fn url(context: &Context) -> Result<String> {
    let password = context.secrets.password("rabbitmq")?;
    Ok(format!("amqp://{USER}:{password}@127.0.0.1:{}/%2f", context.ports.get("rabbitmq")))
}

/// RabbitMQ's form of a password: base64 of a salt and sha256(salt, password).
pub fn hash(password: &str) -> String {
    salted(rand::random(), password)
}

fn salted(salt: [u8; 4], password: &str) -> String {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    base64::engine::general_purpose::STANDARD.encode([salt.as_slice(), digest.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hashed_as_rabbitmqs_documentation_shows() {
        // Its example: salt 908DC60A, password test12.
        let hash = salted([0x90, 0x8D, 0xC6, 0x0A], "test12");
        assert_eq!(hash, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }
}
