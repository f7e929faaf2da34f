//! One run of `up`, `components` or `test`: takes the state folder, and gives it back empty of processes.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::components::{Context, envoy};
use crate::ports::{Ports, Prefer};
use crate::process::{self, Kind};
use crate::progress::{Progress, seconds};
use crate::secrets::Secrets;
use crate::state::{Ownership, State};
use crate::supervise::Supervisor;
use crate::{guard, install, signals};

/// Holds everything that runs. Dropped, it ends it in order.
pub struct Session {
    pub context: Context,
    guard: Option<Child>,
    _ownership: Ownership,
}

impl Session {
    /// Installs what is missing, takes the folder and chooses ports.
    pub fn begin(state: &State, prefer: Prefer, edge: Option<u16>) -> Result<Self> {
        let progress = Progress::new();
        let ownership = state.own()?;
        let guard = guard::start(state)?;
        let supervisor = Supervisor::new(state, &progress)?;
        let last = supervisor.clone();
        signals::at_once(move || last.kill_all());
        let tools = install::ensure(&progress)?;
        let context = Context {
            state: state.clone(),
            tools,
            ports: Ports::choose(state, prefer, edge)?,
            secrets: Secrets::of(state),
            supervisor,
            progress,
            collector: if prefer == Prefer::Standard { Ports::collector() } else { None },
        };
        Ok(Self { context, guard: Some(guard), _ownership: ownership })
    }

    /// Says that all is healthy and stays until an end is asked for.
    pub fn stay(&self) -> Result<()> {
        fs::write(self.context.state.ready_marker(), "")?;
        while !signals::asked() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn end(&mut self) {
        let Context { state, supervisor, progress, .. } = &self.context;
        let _ = fs::remove_file(state.ready_marker());
        let records = crate::process::records(state);
        if !records.is_empty() {
            progress.line("\nstopping (Ctrl-C again kills at once)");
        }
        let begin = Instant::now();
        if records.contains_key("envoy") {
            envoy::drain(&self.context);
        }
        for kind in [Kind::Service, Kind::Edge, Kind::Component, Kind::Ground] {
            let ended = supervisor.stop_kind(kind);
            if !ended.is_empty() {
                let names: Vec<String> =
                    ended.iter().map(|(name, time)| format!("{name} {}", seconds(*time))).collect();
                progress.line(&format!("  ok ended: {}", names.join(", ")));
            }
        }
        if !records.is_empty() {
            progress.line(&format!("  nothing is left running ({})", seconds(begin.elapsed())));
        }
        // With its pipe closed the guard looks, finds nothing, and ends.
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs this same command in the background, shows what it says, and returns once all is healthy.
///
/// # Errors
/// It ended before that.
pub fn detach(state: &State) -> Result<()> {
    state.settle();
    if let Some(pid) = state.owner() {
        bail!("it runs already (process {pid}): `cargo xtask status` shows it, `cargo xtask down` stops it");
    }
    let log = state.log("xtask");
    let file = fs::File::options().create(true).append(true).open(&log)?;
    let from = file.metadata()?.len();
    let _ = fs::remove_file(state.ready_marker());
    let mut child = process::this_program()
        .args(std::env::args_os().skip(1).filter(|arg| arg != "--detach" && arg != "-d"))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .process_group(0)
        .spawn()?;
    let mut shown = BufReader::new(fs::File::open(&log)?);
    shown.seek(SeekFrom::Start(from))?;
    loop {
        let ready = state.ready_marker().exists();
        let ended = child.try_wait()?;
        let mut line = String::new();
        while shown.read_line(&mut line)? > 0 {
            say!("{}", line.trim_end());
            line.clear();
        }
        if let Some(status) = ended {
            bail!("it ended ({status}); its log is {}", log.display());
        }
        if ready {
            say!("runs in the background (process {}); `cargo xtask down` stops it", child.id());
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
