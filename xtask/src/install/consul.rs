//! Consul: Debian 12 has no package of it, Debian 11 has one. It is taken from the mirror that this machine's
//! apt is configured for, checked, and unpacked into our cache; nothing is installed into the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{cache, new_enough, run, sha256};

pub const VERSION: &str = "1.8.7";
const LEAST: (u32, u32) = (1, 8);
/// Below the mirror's root.
const FILE: &str = "pool/main/c/consul/consul_1.8.7+dfsg1-2+b3_amd64.deb";
const SHA256: &str = "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9";

/// One on PATH if it is new enough, or ours.
pub fn find() -> Option<PathBuf> {
    new_enough("consul", &["version"], LEAST).or_else(|| ours().ok().filter(|path| path.exists()))
}

fn ours() -> Result<PathBuf> {
    Ok(cache()?.join(format!("consul-{VERSION}/usr/bin/consul")))
}

pub fn install() -> Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "Consul's package is pinned for x86_64 only: put a consul of {}.{} or newer on PATH",
            LEAST.0,
            LEAST.1
        );
    }
    let cache = cache()?;
    let package = cache.join(format!("consul-{}.deb", std::process::id()));
    let folder = cache.join(format!(".consul-{}", std::process::id()));
    let fetched = fetch(&package).and_then(|()| {
        run(Command::new("dpkg").arg("-x").arg(&package).arg(&folder))?;
        let _ = fs::remove_dir_all(cache.join(format!("consul-{VERSION}")));
        fs::rename(&folder, cache.join(format!("consul-{VERSION}")))?;
        Ok(())
    });
    let _ = fs::remove_file(&package);
    fetched.context("Consul can't be installed (one on PATH would be used as it is)")?;
    find().context("Consul was unpacked but doesn't run")
}

/// Tries each mirror of the machine's apt. apt's own helper fetches, so its proxy and certificates count.
fn fetch(to: &std::path::Path) -> Result<()> {
    let sites =
        run(Command::new("apt-get").args(["indextargets", "--format", "$(SITE)", "Created-By: Packages"]))?;
    let mut mirrors: Vec<&str> = Vec::new();
    for site in sites.lines().filter(|site| site.contains("://")) {
        // Security updates live beside the archive, not in it.
        if !site.contains("security") && !mirrors.contains(&site) {
            mirrors.push(site);
        }
    }
    if mirrors.is_empty() {
        bail!("`apt-get indextargets` names no mirror: run `apt-get update` as root first");
    }
    let mut errors = Vec::new();
    for mirror in mirrors {
        let url = format!("{}/{FILE}", mirror.trim_end_matches('/'));
        let mut helper = Command::new("/usr/lib/apt/apt-helper");
        helper.arg("download-file").arg(&url).arg(to).arg(format!("SHA256:{SHA256}"));
        match run(&mut helper) {
            Ok(_) => {
                let found = sha256(&fs::read(to)?);
                if found == SHA256 {
                    return Ok(());
                }
                errors.push(format!("{url}: its SHA-256 is {found}, not {SHA256}"));
            }
            Err(error) => errors.push(format!("{error:#}")),
        }
    }
    bail!("{}", errors.join("\n"))
}
