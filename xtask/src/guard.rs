//! The guard: a process of its own that waits for its owner's end, whatever it was, and cleans up after it.
//!
//! It reads a pipe that only the owner writes to; the kernel closes that when the owner is killed.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::process;
use crate::state::State;

/// Starts the guard. It lives as long as the answer is kept.
pub fn start(state: &State) -> Result<Child> {
    process::this_program()
        .arg("--state")
        .arg(state.root())
        .arg("guard")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot start the guard")
}

/// What the guard does. After an orderly end there is nothing left for it.
pub fn run(state: &State) -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // From here on nobody should stop us half way.
    let _deaf = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    // Where somebody has the folder again already, they have cleaned up themselves.
    if let Ok(_owned) = state.try_own() {
        process::clean_up(state);
    }
    Ok(())
}
