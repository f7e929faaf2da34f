//! Debian's packages, with nothing of theirs started: what runs here, we start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::{on_path, run};

pub const POSTGRES: &str = "postgresql-15";
/// Asked by each package before it starts a service; 101 means "you may not".
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs packages as root; otherwise says how.
pub fn install(packages: &[&str]) -> Result<()> {
    if on_path("apt-get").is_none() {
        bail!(
            "this is no Debian (there is no apt-get): install {} by hand and run this again",
            packages.join(", ")
        );
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "{} missing. As root, run:\n\n\
             \x20 sudo sh -c 'test -e {POLICY} || {{ printf \"#!/bin/sh\\nexit 101\\n\" > {POLICY}; \
             chmod +x {POLICY}; trap \"rm {POLICY}\" EXIT; }}; apt-get update; \
             apt-get install -y --no-install-recommends {}'\n\n\
             and then this command again. (The file {POLICY} keeps the packages from starting services of \
             their own on the ports that are used here; it is removed again.)",
            if packages.len() == 1 { "A package is" } else { "Packages are" },
            packages.join(" ")
        );
    }
    let _policy = Policy::set()?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-q", "--no-install-recommends"]).args(packages);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    if run(&mut apt).is_err() {
        // The usual reason: package lists that are missing or old.
        run(Command::new("apt-get").args(["update", "-q"]))?;
        run(&mut apt)?;
    }
    Ok(())
}

/// Keeps packages from starting services, for as long as it lives. One that was there stays.
struct Policy {
    ours: bool,
}

impl Policy {
    fn set() -> Result<Self> {
        let path = Path::new(POLICY);
        let ours = !path.exists();
        if ours {
            fs::write(path, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
