use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use crate::artel::{Places, services};
use crate::certificates::Certificates;
use crate::components::{consul, envoy, postgres, rabbitmq, redis};
use crate::files;
use crate::secrets::Secrets;
use crate::state::State;

/// Write the configuration and secrets that compose.yaml mounts
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask compose && docker compose up --build\n  \
                        docker compose run --rm operator           loads the demo catalogue")]
pub struct Args {}

pub fn run(state: &State, _: &Args) -> Result<()> {
    let folder = state.root().join("compose");
    write(&folder, &Secrets::of(state))?;
    say!("written to {}; now: docker compose up --build", folder.display());
    Ok(())
}

/// Writes everything that compose.yaml mounts into `folder`.
///
/// The folder is closed to others (0700); the files in it are open, because Docker mounts them as they are
/// and the processes in the containers are other users.
pub fn write(folder: &Path, secrets: &Secrets) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let put = |name: &str, text: &str| files::write_public(&folder.join(name), text);

    put("postgres", &secrets.password("postgres")?)?;
    put("roles.sql", &postgres::roles_script(secrets)?)?;
    for key in ["mesh.key", "seal.key", "identity.key"] {
        put(key, &fs::read_to_string(secrets.key_file(key)?)?)?;
    }
    let everywhere = "0.0.0.0";
    let rabbitmq_password = secrets.password("rabbitmq")?;
    let redis_password = secrets.password("redis")?;
    let password_hash = rabbitmq::hash(&rabbitmq_password);
    put(
        "rabbitmq-definitions.json",
        &files::fill(rabbitmq::DEFINITIONS, &[("password_hash", &password_hash)])?,
    )?;
    put(
        "rabbitmq.conf",
        &files::fill(
            rabbitmq::CONFIG,
            &[
                ("bind", everywhere),
                ("port", "5672"),
                ("management_port", "15672"),
                ("definitions", "/etc/rabbitmq/definitions.json"),
            ],
        )?,
    )?;
    put(
        "redis.conf",
        &files::fill(
            redis::CONFIG,
            &[("bind", everywhere), ("port", "6379"), ("password", &redis_password), ("data", "/data")],
        )?,
    )?;
    put(
        "consul.json",
        &files::fill(
            consul::CONFIG,
            &[
                ("bind", everywhere),
                ("data", "/consul/data"),
                ("port", "8500"),
                ("server_port", "8300"),
                ("gossip_port", "8301"),
            ],
        )?,
    )?;
    put(
        "envoy.yaml",
        &files::fill(
            envoy::BOOTSTRAP,
            &[
                ("admin_host", "127.0.0.1"),
                ("admin_port", "9901"),
                ("xds_host", "gateway"),
                ("xds_port", "18000"),
            ],
        )?,
    )?;

    let certificates = Certificates::ensure(&folder.join("tls"), secrets)?;
    // Envoy is another user in its container.
    fs::set_permissions(&certificates.edge, fs::Permissions::from_mode(0o644))?;

    let database = |role: &str| -> Result<String> {
        Ok(format!("postgres://{role}:{}@postgres:5432/artel", secrets.password(role)?))
    };
    let whole = Places {
        consul: "http://consul:8500".into(),
        rabbitmq: format!("amqp://{}:{rabbitmq_password}@rabbitmq:5672/%2f", rabbitmq::USER),
        redis: format!("redis://:{redis_password}@redis:6379/0"),
        mesh_key_file: "/run/secrets/mesh.key".into(),
        database_url: database("artel")?,
        system_url: database("artel_system")?,
        migration_url: database("artel_owner")?,
        seal_key_file: "/run/secrets/seal.key".into(),
        identity_key_file: "/run/secrets/identity.key".into(),
        smtp: "smtp://mailbox:1025".into(),
        bank: "http://sandboxes:8101".into(),
        printer: "http://sandboxes:8102".into(),
        sms: "http://sandboxes:8103".into(),
        push: "http://sandboxes:8104".into(),
        robots: "http://sandboxes:8105".into(),
        edge: "http://envoy:8080".into(),
        xds_bind: "0.0.0.0:18000".into(),
        edge_bind: "0.0.0.0:8080".into(),
        otlp: String::new(),
        tls_bind: "0.0.0.0:8443".into(),
        tls_pem: "/etc/envoy/tls/edge.pem".into(),
    }
    .toml()?;
    for service in services() {
        put(&format!("{service}.toml"), &sections(&whole, &["mesh", service], &["migration_url"]))?;
    }
    put("operator.toml", &sections(&whole, &["mesh"], &[]))?;
    let endpoints = serde_json::json!({
        "consul": "http://consul:8500",
        "meshKeyFile": "/run/secrets/mesh.key",
        "config": "/run/secrets/artel.toml",
    });
    put("endpoints.json", &format!("{endpoints:#}\n"))?;
    put("migrate.toml", &sections(&whole, &["persist"], &["database_url", "system_url", "seal_key_file"]))
}

/// Only these sections of a configuration, and without some keys: nobody is told more than they need.
fn sections(whole: &str, names: &[&str], without: &[&str]) -> String {
    let mut taken = true;
    let mut text = String::new();
    for line in whole.lines() {
        if let Some(name) = line.strip_prefix('[') {
            let section = name.trim_end_matches(']').split('.').next().unwrap_or_default();
            taken = names.contains(&section);
        }
        let key = line.split('=').next().unwrap_or_default().trim();
        if taken && !without.contains(&key) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_gets_its_own_configuration_and_nobody_elses_secrets() {
        let folder = std::env::temp_dir().join(format!("artel-compose-{}", std::process::id()));
        let state = State::open(&folder).unwrap();
        let compose = folder.join("compose");
        write(&compose, &Secrets::of(&state)).unwrap();
        let read = |name: &str| fs::read_to_string(compose.join(name)).unwrap();
        let order = read("order.toml");
        assert!(order.contains("[mesh]") && !order.contains("postgres://"), "{order}");
        let persist = read("persist.toml");
        assert!(persist.contains("[persist]") && persist.contains("artel_system"), "{persist}");
        assert!(!persist.contains("artel_owner"), "{persist}");
        let migrate = read("migrate.toml");
        assert!(migrate.contains("artel_owner") && !migrate.contains("seal.key"), "{migrate}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
