//! A process of ours: how it is started, recorded and ended.
//!
//! Each is the leader of a process group, so that a terminal's Ctrl-C doesn't reach it before we decide, and
//! so that what it started ends with it. `run/processes.json` records each with its start time, which tells
//! it from a stranger that got the same number later.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::state::State;

/// A log is begun anew at a start once it is larger than this.
const LOG_LIMIT: u64 = 16 << 20;

/// This program once more. Asked of the kernel rather than by its path: the tests build the workspace, and that may put
/// another file in the place of the one that runs.
pub fn this_program() -> Command {
    Command::new("/proc/self/exe")
}

/// How to start and end one process.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Unique in a mesh: `postgres`, `order`, `order-2`.
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    pub folder: PathBuf,
    pub stop: Signal,
    /// How long it has to end by itself before it is killed.
    pub grace: Duration,
    pub kind: Kind,
    /// Where it is reached, for people.
    pub address: String,
}

/// Services end before the components that they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Ends last: what a component needs until its end.
    Ground,
    Component,
    Edge,
    Service,
}

impl Spec {
    pub fn new(name: &str, kind: Kind, program: impl Into<PathBuf>, state: &State) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: state.root().to_owned(),
            stop: Signal::TERM,
            grace: Duration::from_secs(10),
            kind,
            address: String::new(),
        }
    }

    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn at(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub fn stop_with(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    /// Starts it, its output going to the end of its log.
    pub fn spawn(&self, state: &State) -> Result<Child> {
        let path = state.log(&self.name);
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&path, path.with_extension("log.1"))?;
        }
        let log = File::options().create(true).append(true).open(&path)?;
        Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {} ({})", self.name, self.program.display()))
    }
}

/// What is written down about a running process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub pid: i32,
    /// In the kernel's ticks since boot.
    pub started: u64,
    pub kind: Kind,
    pub address: String,
    pub restarts: u32,
}

impl Record {
    /// Whether this very process still runs.
    pub fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// How long it has run.
    pub fn uptime(&self) -> Duration {
        // Linux reports these times in hundredths of a second on every architecture we know.
        let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
        let up = text.split(' ').next().and_then(|word| word.parse::<f64>().ok()).unwrap_or_default();
        Duration::try_from_secs_f64(up - self.started as f64 / 100.0).unwrap_or_default()
    }
}

/// All that runs from one state folder, by name.
pub type Records = BTreeMap<String, Record>;

pub fn records(state: &State) -> Records {
    let text = fs::read_to_string(state.run().join("processes.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Writes the records and a `NAME.pid` for each.
pub fn write_records(state: &State, records: &Records) -> Result<()> {
    files::write_public(&state.run().join("processes.json"), &serde_json::to_string_pretty(records)?)?;
    for (name, record) in records {
        files::write_public(&state.run().join(format!("{name}.pid")), &format!("{}\n", record.pid))?;
    }
    Ok(())
}

pub fn remove_pid_file(state: &State, name: &str) {
    let _ = fs::remove_file(state.run().join(format!("{name}.pid")));
}

/// When the process started, or nothing where there is none (a zombie counts as none).
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so fields are counted from the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

pub fn signal_group(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process_group(pid, signal);
    }
}

fn group_alive(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process_group(pid).is_ok())
}

/// Ends what an owner that was killed left behind, last started first. Gives the names.
pub fn clean_up(state: &State) -> Vec<String> {
    let records = records(state);
    let mut left: Vec<_> = records
        .iter()
        .filter(|(_, record)| match start_time(record.pid) {
            Some(started) => started == record.started,
            // The leader is gone, but what it started may live; its number is not given away until then.
            None => group_alive(record.pid),
        })
        .collect();
    left.sort_by_key(|(_, record)| std::cmp::Reverse(record.kind));
    for kind in [Kind::Service, Kind::Edge, Kind::Component, Kind::Ground] {
        let group: Vec<_> = left.iter().filter(|(_, record)| record.kind == kind).collect();
        for (name, record) in &group {
            // PostgreSQL's "fast" end is SIGINT: SIGTERM waits for its clients.
            signal(record.pid, if *name == "postgres" { Signal::INT } else { Signal::TERM });
        }
        let end = Instant::now() + Duration::from_secs(8);
        while group.iter().any(|(_, record)| record.alive()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        for (_, record) in &group {
            signal_group(record.pid, Signal::KILL);
        }
    }
    let names = left.iter().map(|(name, _)| (*name).clone()).collect();
    for name in records.keys() {
        remove_pid_file(state, name);
    }
    let _ = write_records(state, &Records::new());
    let _ = fs::remove_file(state.ready_marker());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_owner_left_is_ended_and_a_stranger_is_not() {
        let dir = std::env::temp_dir().join(format!("artel-process-{}", std::process::id()));
        let state = State::open(&dir).unwrap();
        let spec = Spec::new("sleeper", Kind::Service, "sleep", &state).args(["60"]);
        let mut ours = spec.spawn(&state).unwrap();
        let mut stranger = spec.spawn(&state).unwrap();
        let record = |pid: u32, started| {
            let pid = i32::try_from(pid).unwrap();
            let started = started + start_time(pid).unwrap();
            Record { pid, started, kind: Kind::Service, address: String::new(), restarts: 0 }
        };
        let records = Records::from([
            ("ours".to_owned(), record(ours.id(), 0)),
            ("stranger".to_owned(), record(stranger.id(), 7)),
        ]);
        write_records(&state, &records).unwrap();
        assert_eq!(clean_up(&state), ["ours"]);
        assert!(!ours.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
