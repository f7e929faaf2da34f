//! Formatting and clippy.

use anyhow::Result;

use super::{cargo, heading, show};

pub fn run() -> Result<()> {
    heading("formatting");
    show(cargo().args(["fmt", "--all", "--check"]))?;
    heading("clippy, warnings denied");
    show(cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}
