//! Ctrl-C and SIGTERM: the first asks for an orderly end, the second for an immediate one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static ASKED: AtomicUsize = AtomicUsize::new(0);
static AT_ONCE: Mutex<Vec<Box<dyn Fn() + Send>>> = Mutex::new(Vec::new());

/// Starts listening. Without this a signal ends the process as usual.
pub fn listen() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for _ in signals.forever() {
            if ASKED.fetch_add(1, Ordering::SeqCst) > 0 {
                for act in AT_ONCE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    act();
                }
                std::process::exit(130);
            }
        }
    })?;
    Ok(())
}

/// What is to be done on the second signal, before the process ends.
pub fn at_once(act: impl Fn() + Send + 'static) {
    AT_ONCE.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(act));
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
