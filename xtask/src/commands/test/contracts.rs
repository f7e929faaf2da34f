//! The contracts: buf's rules.

use std::process::Command;

use anyhow::Result;

use super::{heading, show};
use crate::artel;
use crate::install::buf;
use crate::progress::Progress;

pub fn run() -> Result<()> {
    heading("contracts: buf's STANDARD rules");
    let buf = buf::ensure(&Progress::new())?;
    show(Command::new(buf).arg("lint").arg(artel::root().join("proto")))
}
