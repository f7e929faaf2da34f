//! Keeps processes running: restarts what dies, ends everything in order, and leaves nothing behind.

use std::collections::BTreeMap;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::files;
use crate::process::{self, Kind, Record, Records, Spec};
use crate::progress::{Progress, seconds};
use crate::state::State;

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// Who ran this long starts again with the first backoff.
const STEADY: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(40);

/// The processes of one state folder.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    state: State,
    progress: Progress,
    children: Mutex<BTreeMap<String, Watched>>,
    /// Those asked to end and waited for, by pid: out of `children`, but not gone yet.
    leaving: Mutex<Vec<i32>>,
}

struct Watched {
    spec: Spec,
    life: Life,
    /// Only what was ready once is restarted; before that, an end is a failed start.
    ready: bool,
    restarts: u32,
    backoff: Duration,
}

enum Life {
    Runs { child: Child, since: Instant, started: u64 },
    Ended(ExitStatus),
    Again { at: Instant },
}

impl Supervisor {
    /// Ends what an earlier owner left behind and begins to watch.
    pub fn new(state: &State, progress: &Progress) -> Result<Self> {
        let left = process::clean_up(state);
        if !left.is_empty() {
            progress.line(&format!("  ended what was left of an earlier run: {}", left.join(", ")));
        }
        let children = Mutex::new(BTreeMap::new());
        let leaving = Mutex::new(Vec::new());
        let inner = Arc::new(Inner { state: state.clone(), progress: progress.clone(), children, leaving });
        let watcher = Arc::downgrade(&inner);
        std::thread::Builder::new().name("supervisor".into()).spawn(move || {
            while let Some(inner) = watcher.upgrade() {
                inner.look();
                drop(inner);
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(Self { inner })
    }

    /// Starts a process. It is not restarted before [`Self::ready`] was said of it.
    pub fn start(&self, spec: Spec) -> Result<()> {
        let mut children = self.inner.lock();
        if children.contains_key(&spec.name) {
            bail!("{} is started already", spec.name);
        }
        let life = Life::spawn(&spec, &self.inner.state)?;
        let name = spec.name.clone();
        children.insert(name, Watched { spec, life, ready: false, restarts: 0, backoff: FIRST_BACKOFF });
        self.inner.record(&children)
    }

    /// From now on it is restarted when it ends.
    pub fn ready(&self, name: &str) {
        if let Some(watched) = self.inner.lock().get_mut(name) {
            watched.ready = true;
        }
    }

    /// An error with the end of its log, if the process has ended.
    pub fn check(&self, name: &str) -> Result<()> {
        if let Some(Watched { life: Life::Ended(status), .. }) = self.inner.lock().get(name) {
            let log = self.inner.state.log(name);
            bail!(
                "{name} ended ({status}). The end of its log, {}:\n{}",
                log.display(),
                indent(&files::tail(&log, 25))
            );
        }
        Ok(())
    }

    /// Starts a process and waits until it is ready, adding the end of its log to an error.
    pub fn start_and_wait(
        &self,
        spec: Spec,
        limit: Duration,
        ready: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let name = spec.name.clone();
        self.start(spec)?;
        self.wait(&name, limit, ready)
    }

    /// Waits until a started process is ready.
    pub fn wait(&self, name: &str, limit: Duration, ready: impl FnMut() -> Result<bool>) -> Result<()> {
        let waited = crate::wait::until(&format!("{name} to be ready"), limit, || self.check(name), ready);
        if let Err(error) = waited {
            let log = self.inner.state.log(name);
            if error.to_string().contains("The end of its log") || crate::signals::asked() {
                return Err(error);
            }
            bail!("{error:#}. The end of its log, {}:\n{}", log.display(), indent(&files::tail(&log, 25)));
        }
        self.ready(name);
        Ok(())
    }

    /// Asks every process of one kind to end, waits for each as long as its grace allows, then kills.
    pub fn stop_kind(&self, kind: Kind) -> Vec<(String, Duration)> {
        let begin = Instant::now();
        let names: Vec<String> = {
            let children = self.inner.lock();
            children.values().filter(|it| it.spec.kind == kind).map(|it| it.spec.name.clone()).collect()
        };
        let mut stopping = Vec::new();
        for name in names {
            let mut children = self.inner.lock();
            if let Some(Watched { spec, life: Life::Runs { child, .. }, .. }) = children.remove(&name) {
                self.inner.leaving().push(pid(&child));
                process::signal(pid(&child), spec.stop);
                stopping.push((spec, child));
            }
        }
        let mut ended = Vec::new();
        for (spec, mut child) in stopping {
            let limit = begin + spec.grace;
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < limit {
                std::thread::sleep(Duration::from_millis(10));
            }
            if matches!(child.try_wait(), Ok(None)) {
                self.inner.progress.line(&format!(
                    "  !! {} did not end in {}: killed",
                    spec.name,
                    seconds(spec.grace)
                ));
            }
            // What it started, and itself if need be.
            process::signal_group(pid(&child), Signal::KILL);
            let _ = child.wait();
            self.inner.leaving().retain(|leaving| *leaving != pid(&child));
            process::remove_pid_file(&self.inner.state, &spec.name);
            ended.push((spec.name, begin.elapsed()));
        }
        let children = self.inner.lock();
        let _ = self.inner.record(&children);
        ended
    }

    /// Kills everything at once.
    pub fn kill_all(&self) {
        let mut children = self.inner.lock();
        for leaving in self.inner.leaving().drain(..) {
            process::signal_group(leaving, Signal::KILL);
        }
        for (name, watched) in std::mem::take(&mut *children) {
            if let Life::Runs { mut child, .. } = watched.life {
                process::signal_group(pid(&child), Signal::KILL);
                let _ = child.wait();
            }
            process::remove_pid_file(&self.inner.state, &name);
        }
        let _ = self.inner.record(&children);
    }
}

impl Life {
    fn spawn(spec: &Spec, state: &State) -> Result<Self> {
        let child = spec.spawn(state)?;
        let started = process::start_time(pid(&child)).unwrap_or_default();
        Ok(Self::Runs { child, since: Instant::now(), started })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Watched>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaving(&self) -> MutexGuard<'_, Vec<i32>> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) {
        let mut children = self.lock();
        let mut changed = false;
        for watched in children.values_mut() {
            changed |= self.look_at(watched);
        }
        if changed && let Err(error) = self.record(&children) {
            self.progress.line(&format!("  !! {error:#}"));
        }
    }

    fn look_at(&self, watched: &mut Watched) -> bool {
        let name = &watched.spec.name;
        match &mut watched.life {
            Life::Runs { child, since, .. } => {
                let Ok(Some(status)) = child.try_wait() else { return false };
                process::signal_group(pid(child), Signal::KILL);
                if !watched.ready {
                    watched.life = Life::Ended(status);
                    return true;
                }
                let ran = since.elapsed();
                if ran > STEADY {
                    watched.backoff = FIRST_BACKOFF;
                }
                let log = self.state.log(name);
                self.progress.line(&format!(
                    "\n  !! {name} ended unexpectedly after {} ({status}); restarting in {}. {}:\n{}\n",
                    seconds(ran),
                    seconds(watched.backoff),
                    log.display(),
                    indent(&files::tail(&log, 8))
                ));
                watched.life = Life::Again { at: Instant::now() + watched.backoff };
                watched.backoff = (watched.backoff * 2).min(LONGEST_BACKOFF);
                true
            }
            Life::Again { at } if Instant::now() >= *at => {
                watched.restarts += 1;
                match Life::spawn(&watched.spec, &self.state) {
                    Ok(life) => {
                        self.progress
                            .line(&format!("  ok {name} started again (restart {})", watched.restarts));
                        watched.life = life;
                    }
                    Err(error) => {
                        self.progress.line(&format!("  !! {error:#}"));
                        watched.life = Life::Again { at: Instant::now() + watched.backoff };
                        watched.backoff = (watched.backoff * 2).min(LONGEST_BACKOFF);
                    }
                }
                true
            }
            Life::Again { .. } | Life::Ended(_) => false,
        }
    }

    fn record(&self, children: &BTreeMap<String, Watched>) -> Result<()> {
        let mut records = Records::new();
        for (name, watched) in children {
            if let Life::Runs { child, started, .. } = &watched.life {
                let record = Record {
                    pid: pid(child),
                    started: *started,
                    kind: watched.spec.kind,
                    address: watched.spec.address.clone(),
                    restarts: watched.restarts,
                };
                records.insert(name.clone(), record);
            }
        }
        process::write_records(&self.state, &records).context("cannot record what runs")
    }
}

fn pid(child: &Child) -> i32 {
    child.id().cast_signed()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("     | {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn state(name: &str) -> State {
        State::open(&std::env::temp_dir().join(format!("artel-{name}-{}", std::process::id()))).unwrap()
    }

    fn shell(name: &str, script: &str, state: &State) -> Spec {
        Spec::new(name, Kind::Service, "/bin/sh", state).args(["-c", script])
    }

    #[test]
    fn a_killed_process_comes_back_under_a_new_pid() {
        let state = state("restart");
        let supervisor = Supervisor::new(&state, &Progress::new()).unwrap();
        let limit = Duration::from_secs(10);
        let spec = shell("worker", "exec sleep 60", &state);
        supervisor.start_and_wait(spec, limit, || Ok(true)).unwrap();
        let first = process::records(&state)["worker"].clone();
        process::signal(first.pid, Signal::KILL);
        crate::wait::until(
            "a new process",
            limit,
            || Ok(()),
            || Ok(process::records(&state).get("worker").is_some_and(|it| it.pid != first.pid && it.alive())),
        )
        .unwrap();
        assert_eq!(process::records(&state)["worker"].restarts, 1);
        assert_eq!(supervisor.stop_kind(Kind::Service).len(), 1);
        assert!(process::records(&state).is_empty());
        fs::remove_dir_all(state.root()).unwrap();
    }

    #[test]
    fn a_failed_start_shows_the_log_and_what_ignores_us_is_killed() {
        let state = state("stubborn");
        let supervisor = Supervisor::new(&state, &Progress::new()).unwrap();
        let limit = Duration::from_secs(10);
        let spec = shell("broken", "echo no such luck; exit 3", &state);
        let error = supervisor.start_and_wait(spec, limit, || Ok(false)).unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains("broken.log"), "{error}");
        let spec = shell("deaf", "trap '' TERM; echo up; while :; do sleep 1; done", &state)
            .grace(Duration::from_millis(100));
        let log = state.log("deaf");
        supervisor.start_and_wait(spec, limit, || Ok(files::tail(&log, 1) == "up")).unwrap();
        let record = process::records(&state)["deaf"].clone();
        supervisor.stop_kind(Kind::Service);
        assert!(!record.alive());
        fs::remove_dir_all(state.root()).unwrap();
    }
}
