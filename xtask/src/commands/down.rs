use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::process;
use crate::state::State;

/// Stop what `up` or `components` started, from another terminal
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask down\n  cargo xtask --state /tmp/mine down")]
pub struct Args {}

/// Longer than all graces together.
const LIMIT: Duration = Duration::from_secs(90);

pub fn run(state: &State, _: &Args) -> Result<()> {
    state.settle();
    match state.owner() {
        Some(owner) => {
            say!("asking process {owner} to stop ...");
            process::signal(owner, Signal::TERM);
            if !state.wait_until_free(LIMIT) {
                bail!(
                    "process {owner} has not stopped in {} s: see {}",
                    LIMIT.as_secs(),
                    state.logs().display()
                );
            }
        }
        None => say!("nothing runs from {}", state.root().display()),
    }
    let _owned = state.own()?;
    let left = process::clean_up(state);
    if !left.is_empty() {
        say!("ended what an earlier run had left: {}", left.join(", "));
    }
    say!("stopped");
    Ok(())
}
