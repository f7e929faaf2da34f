//! The `artel` binary: built, configured, and run.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::certificates::Certificates;
use crate::components::{Context, postgres, rabbitmq, redis};
use crate::process::{Kind, Spec};
use crate::progress::Step;
use crate::{components, files, http};

const CONFIG: &str = include_str!("../../system/artel.toml");
const PUSH_ACCOUNT: &str = include_str!("../../sandboxes/vendors/src/push/service-account.json");

/// The services of the mesh, by the names that they have in Consul: the folders of `services/`, `persist` first,
/// because the others have little to do without it.
pub fn services() -> impl DoubleEndedIterator<Item = &'static str> {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| services_of(&root()));
    NAMES.iter().map(String::as_str)
}

/// The services of the project in that folder.
pub fn services_of(root: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(root.join("services")).into_iter().flatten().flatten();
    let crates = folders.filter(|folder| folder.path().join("Cargo.toml").is_file());
    let mut names: Vec<String> =
        crates.filter_map(|folder| folder.file_name().to_str().map(str::to_owned)).collect();
    names.sort_by_key(|name| (name != "persist", name.clone()));
    names
}

/// cargo, as if called from a shell. `cargo run` tells the program it runs about that program's own package; build
/// scripts that look at those variables (ring's does) would run anew with each change between the two ways to call it,
/// and a third of all crates after them.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"]
            .iter()
            .any(|it| text.starts_with(it))
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds it and gives its path. What cargo prints goes to `logs/build.log`, and into an error.
pub fn build(log: &Path, release: bool, step: &Step) -> Result<PathBuf> {
    binary(log, "artel", release, step)
}

/// The same for the package and binary of that name.
pub fn binary(log: &Path, name: &str, release: bool, step: &Step) -> Result<PathBuf> {
    let mut child = cargo()
        .args(["build", "--package", name, "--bin", name, "--message-format=json-render-diagnostics"])
        .args(release.then_some("--release"))
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let errors = child.stderr.take().context("cargo has no output")?;
    let mut out = child.stdout.take().context("cargo has no output")?;
    let (said, executable) = std::thread::scope(|scope| {
        let said = scope.spawn(move || {
            let mut said = String::new();
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                step.detail(line.trim());
                said.push_str(&line);
                said.push('\n');
            }
            said
        });
        let mut messages = String::new();
        let read = out.read_to_string(&mut messages);
        (said.join().unwrap_or_default(), read.map(|_| executable(&messages, name)))
    });
    files::write_public(log, &said)?;
    if !child.wait()?.success() {
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(60)..].join("\n");
        bail!("`cargo build --bin {name}` failed. The end of {}:\n{end}", log.display());
    }
    executable?.with_context(|| format!("cargo built no binary `{name}`"))
}

fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    })
}

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}

/// Where everything is, as the services are told.
pub struct Places {
    pub consul: String,
    pub rabbitmq: String,
    pub redis: String,
    pub mesh_key_file: String,
    pub database_url: String,
    pub system_url: String,
    pub migration_url: String,
    pub seal_key_file: String,
    pub identity_key_file: String,
    pub smtp: String,
    pub bank: String,
    pub printer: String,
    pub sms: String,
    pub push: String,
    pub robots: String,
    pub edge: String,
    pub xds_bind: String,
    pub edge_bind: String,
    pub otlp: String,
    pub tls_bind: String,
    pub tls_pem: String,
}

impl Places {
    /// The configuration that says so.
    pub fn toml(&self) -> Result<String> {
        files::fill(
            CONFIG,
            &[
                ("consul", &self.consul),
                ("rabbitmq", &self.rabbitmq),
                ("redis", &self.redis),
                ("mesh_key_file", &self.mesh_key_file),
                ("database_url", &self.database_url),
                ("system_url", &self.system_url),
                ("migration_url", &self.migration_url),
                ("seal_key_file", &self.seal_key_file),
                ("identity_key_file", &self.identity_key_file),
                ("smtp", &self.smtp),
                ("bank", &self.bank),
                ("printer", &self.printer),
                ("sms", &self.sms),
                ("push", &self.push),
                ("push_account", &self.push_account()?),
                ("robots", &self.robots),
                ("edge", &self.edge),
                ("xds_bind", &self.xds_bind),
                ("edge_bind", &self.edge_bind),
                ("otlp", &self.otlp),
                ("tls_bind", &self.tls_bind),
                ("tls_pem", &self.tls_pem),
            ],
        )
    }

    /// The service account that the sandbox of push messages knows, with the address at which it gives tokens: one line.
    fn push_account(&self) -> Result<String> {
        let mut account: Value = serde_json::from_str(PUSH_ACCOUNT)?;
        account["token_uri"] = format!("{}/token", self.push).into();
        Ok(account.to_string())
    }
}

/// Writes `artel.toml`, the one place where the services read where everything is (0600: it holds passwords).
pub fn configure(context: &Context) -> Result<()> {
    let Context { state, ports, secrets, collector, .. } = context;
    let socket = postgres::socket_folder(state)?.display().to_string();
    let places = Places {
        consul: components::consul::url(context),
        rabbitmq: rabbitmq::url(context)?,
        redis: redis::url(context)?,
        mesh_key_file: secrets.key_file("mesh.key")?.display().to_string(),
        database_url: over_socket(&postgres::url(context, "artel")?, &socket),
        system_url: over_socket(&postgres::url(context, "artel_system")?, &socket),
        migration_url: postgres::url(context, "artel_owner")?,
        seal_key_file: secrets.key_file("seal.key")?.display().to_string(),
        identity_key_file: secrets.key_file("identity.key")?.display().to_string(),
        smtp: format!("smtp://127.0.0.1:{}", ports.get("smtp")),
        bank: sandbox(context, "bank"),
        printer: sandbox(context, "printer"),
        sms: sandbox(context, "sms"),
        push: sandbox(context, "push"),
        robots: sandbox(context, "robots"),
        edge: components::envoy::api(context),
        xds_bind: format!("127.0.0.1:{}", ports.get("xds")),
        edge_bind: format!("127.0.0.1:{}", ports.get("edge")),
        otlp: collector.map(|port| format!("http://127.0.0.1:{port}")).unwrap_or_default(),
        tls_bind: format!("127.0.0.1:{}", ports.get("edge_tls")),
        tls_pem: Certificates::ensure(&state.tls(), secrets)?.edge.display().to_string(),
    };
    files::write_private(&state.artel_toml(), &places.toml()?)
}

/// The same database over the Unix socket, which is a third faster than loopback.
fn over_socket(url: &str, folder: &str) -> String {
    url.replace("@127.0.0.1:", &format!("@{}:", folder.replace('%', "%25").replace('/', "%2F")))
}

/// Runs `artel ARGS` to its end, what it prints going to its log and into an error.
pub fn run(context: &Context, artel: &Path, name: &str, args: &[&str], limit: Duration) -> Result<String> {
    let log = context.state.log(name);
    let file = std::fs::File::create(&log)?;
    let mut child = Command::new(artel)
        .args(args)
        .env("ARTEL_CONFIG", context.state.artel_toml())
        .env("ARTEL_ENDPOINTS", context.state.endpoints())
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let mut status = None;
    let waited = crate::wait::until(
        &format!("`artel {}`", args.join(" ")),
        limit,
        || Ok(()),
        || {
            status = child.try_wait()?;
            Ok(status.is_some())
        },
    );
    if let Err(error) = waited {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let said = files::tail(&log, 30);
    if !status.is_some_and(|status| status.success()) {
        bail!("`artel {}` failed. The end of {}:\n{said}", args.join(" "), log.display());
    }
    Ok(said)
}

/// How `artel ARGS` runs as a process of the mesh.
pub fn spec(context: &Context, artel: &Path, name: &str, args: &[&str]) -> Spec {
    let mut spec = Spec::new(name, Kind::Service, artel, &context.state)
        .args(args.iter().copied())
        .env("ARTEL_CONFIG", context.state.artel_toml().display().to_string())
        .grace(Duration::from_secs(25));
    spec.folder = root();
    spec
}

/// Starts the mailbox, which takes every e-mail and shows it.
pub fn start_mailbox(context: &Context, artel: &Path) -> Result<String> {
    let url = format!("http://127.0.0.1:{}", context.ports.get("mailbox"));
    let smtp = format!("127.0.0.1:{}", context.ports.get("smtp"));
    let data = context.state.data("mailbox")?.display().to_string();
    let args = ["mailbox", "--smtp", &smtp, "--http", url.trim_start_matches("http://"), "--data", &data];
    let mut spec = spec(context, artel, "mailbox", &args).at(&url);
    // It outlives the services: their last e-mails must find it.
    spec.kind = Kind::Component;
    context.supervisor.start_and_wait(spec, Duration::from_secs(30), || {
        let smtp = std::net::TcpStream::connect(("127.0.0.1", context.ports.get("smtp"))).is_ok();
        Ok(smtp && http::get(&url, None, Duration::from_secs(2))?.ok())
    })?;
    Ok(url)
}

/// The sandboxes of companies outside of the mesh, by the names of their ports.
pub const SANDBOXES: [&str; 5] = ["bank", "printer", "sms", "push", "robots"];

/// A dish of five minutes is ready in a second.
const ROBOT_SPEED: &str = "300";

/// Where a sandbox is reached.
pub fn sandbox(context: &Context, name: &str) -> String {
    format!("http://127.0.0.1:{}", context.ports.get(name))
}

/// Starts the sandboxes of the companies outside: bank, printer, SMS, push, robots.
pub fn start_sandboxes(context: &Context, artel: &Path) -> Result<String> {
    let data = context.state.data("sandboxes")?.display().to_string();
    let mut args = vec!["sandboxes".to_owned(), "--data".to_owned(), data];
    for name in SANDBOXES {
        args.extend([format!("--{name}"), format!("127.0.0.1:{}", context.ports.get(name))]);
    }
    args.extend(["--robot-speed".to_owned(), ROBOT_SPEED.to_owned()]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut spec = spec(context, artel, "sandboxes", &args).at(sandbox(context, SANDBOXES[0]));
    // They outlive the services: what these do last must find them.
    spec.kind = Kind::Component;
    context.supervisor.start_and_wait(spec, Duration::from_secs(30), || {
        SANDBOXES.iter().try_fold(true, |all, name| {
            let url = format!("{}/healthz", sandbox(context, name));
            Ok(all && http::get(&url, None, Duration::from_secs(2))?.ok())
        })
    })?;
    Ok(SANDBOXES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_stands_in_a_url_as_an_encoded_host() {
        let url = over_socket("postgres://artel:pw@127.0.0.1:5432/artel", "/tmp/a%b/run");
        assert_eq!(url, "postgres://artel:pw@%2Ftmp%2Fa%25b%2Frun:5432/artel");
    }

    #[test]
    fn the_services_are_those_that_there_are() {
        let names: Vec<&str> = services().collect();
        assert_eq!(names.first(), Some(&"persist"));
        assert!(
            ["catalog", "gateway", "identity", "notify", "order"].iter().all(|name| names.contains(name))
        );
    }

    #[test]
    fn the_binary_is_found_among_what_cargo_says() {
        let said = r#"{"target":{"name":"artel_order"},"executable":null}
{"target":{"name":"artel"},"executable":"/target/debug/artel"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(said, "artel"), Some(PathBuf::from("/target/debug/artel")));
    }
}
