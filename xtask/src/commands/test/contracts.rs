//! What others rely on: the proto contracts, the containers, and Envoy's bootstrap.

use std::process::Command;

use anyhow::Result;

use super::{compose, heading, show};
use crate::components::envoy;
use crate::install::{self, buf};
use crate::progress::Progress;
use crate::{artel, contracts};

pub fn run() -> Result<()> {
    heading("contracts: buf's STANDARD rules");
    let progress = Progress::new();
    let (root, buf) = (artel::root(), buf::ensure(&progress)?);
    show(&mut contracts::lint(&buf, &root))?;
    heading("contracts: compared with those that others rely on");
    contracts::compare(&buf, &root, None, show)?;
    compose::run()?;
    heading("envoy/bootstrap.yaml, by Envoy itself");
    let tools = install::ensure(&progress)?;
    let file = std::env::temp_dir().join(format!("artel-bootstrap-{}.yaml", std::process::id()));
    std::fs::write(&file, envoy::bootstrap("9901", "18000")?)?;
    let shown = show(
        Command::new(tools.envoy).args(["--mode", "validate", "--log-level", "warning", "-c"]).arg(&file),
    );
    std::fs::remove_file(&file)?;
    shown
}
