//! buf, which lints the contracts: one on PATH if it is new enough, or from its wheel.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::wheel::{Wheel, has_pip};
use super::{apt, new_enough};
use crate::progress::Progress;

const LEAST: (u32, u32) = (1, 50);

const WHEEL: Wheel = Wheel {
    package: "buf-bin",
    version: "1.75.0",
    sha256: "6fd3ecb1694b6f5bcdfb9bef5297b330ffb9731b95445a42944c1b6158428101",
    content: "bin/buf",
};

/// Where it is; it is fetched where it is missing.
pub fn ensure(progress: &Progress) -> Result<PathBuf> {
    if let Some(path) = new_enough("buf", &["--version"], LEAST).or_else(|| WHEEL.find()) {
        return Ok(path);
    }
    let step = progress.step("buf", "installing (16 MB)");
    if !has_pip() {
        apt::install(&["python3-pip"])?;
    }
    if !has_pip() {
        bail!("there is no pip for python3");
    }
    let path = WHEEL.install().context("buf can't be installed (one on PATH would be used as it is)")?;
    step.done(&path.display().to_string());
    Ok(path)
}
