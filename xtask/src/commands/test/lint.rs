//! Formatting and clippy.

use anyhow::Result;

use super::{heading, show};
use crate::artel;

pub fn run() -> Result<()> {
    heading("formatting");
    show(artel::cargo().args(["fmt", "--all", "--check"]))?;
    heading("clippy, warnings denied");
    show(artel::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}
