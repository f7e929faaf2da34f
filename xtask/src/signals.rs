//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second for an immediate one.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static ASKED: AtomicUsize = AtomicUsize::new(0);

/// Starts listening. `at_once` runs on the second signal and on each after it.
pub fn listen(at_once: impl Fn() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if ASKED.fetch_add(1, Ordering::SeqCst) > 0 {
                at_once();
            }
        }
    })?;
    Ok(())
}

/// Whether an end was asked for.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst) > 0
}

/// An error once an end was asked for: for places in the middle of work.
pub fn check() -> Result<()> {
    if asked() {
        bail!("interrupted");
    }
    Ok(())
}
