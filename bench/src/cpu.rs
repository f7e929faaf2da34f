//! What a process, and all that it started, has used of the processor, as the kernel counts it.

use std::collections::{BTreeMap, HashMap};
use std::fs;

use anyhow::{Context as _, Result};

/// A tick of /proc is this many milliseconds: fixed in the kernel's interface, whatever its own clock.
const TICK_MS: f64 = 10.0;

/// A process to watch while a round runs.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What the table calls it.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// Which of its time counts.
    pub part: Part,
}

/// Which time of a process counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its own and that of everything below it, ended or not.
    Tree,
    /// Its own alone.
    Own,
    /// That of children that ended and were waited for.
    Ended,
}

impl Watched {
    /// A process and everything below it.
    pub fn tree(name: &str, pid: u32) -> Self {
        Self { name: name.to_owned(), pid, part: Part::Tree }
    }

    /// This process, as the generator of load.
    pub fn generator() -> Self {
        Self { name: GENERATOR.to_owned(), pid: std::process::id(), part: Part::Own }
    }

    /// A program that this process runs to its end in the round, as the generator of load.
    pub fn generator_below() -> Self {
        Self { part: Part::Ended, ..Self::generator() }
    }

    /// This process, where it does the work itself.
    pub fn own(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::generator() }
    }
}

/// The name of what makes the load: shown, and never part of a ratio.
pub const GENERATOR: &str = "generator";

/// Milliseconds of CPU so far, by name. Several processes of one name are counted together.
pub fn used(watched: &[Watched]) -> Result<BTreeMap<String, f64>> {
    let all = processes()?;
    let mut used = BTreeMap::new();
    for one in watched {
        let process = all.get(&one.pid);
        let process = process.with_context(|| format!("{} (process {}) is gone", one.name, one.pid))?;
        let ticks = match one.part {
            Part::Own => process.own,
            Part::Ended => process.ended,
            Part::Tree => all
                .iter()
                .filter(|(pid, _)| is_below(&all, **pid, one.pid))
                .map(|(_, process)| process.own + process.ended)
                .sum(),
        };
        *used.entry(one.name.clone()).or_default() += ticks as f64 * TICK_MS;
    }
    Ok(used)
}

struct Process {
    parent: u32,
    own: u64,
    ended: u64,
}

fn processes() -> Result<HashMap<u32, Process>> {
    let mut all = HashMap::new();
    for entry in fs::read_dir("/proc").context("/proc cannot be read: the figures need Linux")? {
        // Processes come and go while we look.
        let Ok(stat) = fs::read_to_string(entry?.path().join("stat")) else { continue };
        if let Some((pid, process)) = parse(&stat) {
            all.insert(pid, process);
        }
    }
    Ok(all)
}

/// The program's name between may hold anything, but ends with the last parenthesis.
fn parse(stat: &str) -> Option<(u32, Process)> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some((
        pid.parse().ok()?,
        Process {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            ended: number(13)? + number(14)?,
        },
    ))
}

fn is_below(all: &HashMap<u32, Process>, mut pid: u32, root: u32) -> bool {
    while pid != root {
        match all.get(&pid) {
            Some(process) if process.parent != 0 => pid = process.parent,
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_any_name() {
        let (pid, process) = parse("7 (a ) b) S 3 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0").unwrap();
        assert_eq!((pid, process.parent, process.own, process.ended), (7, 3, 200, 15));
    }

    #[test]
    fn a_program_that_ended_is_counted_below_us_and_not_as_us() {
        let below = Watched::generator_below();
        let before = used(std::slice::from_ref(&below)).unwrap()[GENERATOR];
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spin]).status().unwrap().success());
        assert!(used(&[below]).unwrap()[GENERATOR] > before);
        let gone = Watched::tree("gone", u32::MAX);
        assert!(used(&[gone]).unwrap_err().to_string().contains("gone"));
    }
}
