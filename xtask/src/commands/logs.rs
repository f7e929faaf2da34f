use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::artel;
use crate::files;
use crate::state::State;

/// Show what the processes wrote, and follow it
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask logs                    the end of every log\n  \
    cargo xtask logs order notify -f    two services, as it happens\n  \
    cargo xtask logs rabbitmq -n 200    the last 200 lines")]
pub struct Args {
    /// Whose: a service, a component, `build`, `migrate`, `xtask` [default: all]
    names: Vec<String>,
    /// Go on showing what is added
    #[arg(long, short)]
    follow: bool,
    /// How many lines of each to begin with
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    lines: usize,
}

pub fn run(state: &State, args: &Args) -> Result<()> {
    let there = names(state)?;
    let wanted = if args.names.is_empty() {
        there
    } else {
        wanted(&args.names, &there, &artel::services().collect::<Vec<_>>())?
    };
    let width = wanted.iter().map(String::len).max().unwrap_or_default();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for name in &wanted {
        let length = fs::metadata(state.log(name))?;
        print(name, width, &files::tail(&state.log(name), args.lines))?;
        seen.insert(name.clone(), Seen { file: length.ino(), length: length.len(), rest: String::new() });
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(Duration::from_millis(150));
        if args.names.is_empty() {
            for name in names(state)? {
                seen.entry(name).or_default();
            }
        }
        for (name, seen) in &mut seen {
            let added = seen.read(state, name)?;
            print(name, width, &added)?;
        }
    }
}

/// The logs that are meant. Services that share one process share its log, `artel`.
fn wanted(names: &[String], there: &[String], services: &[&str]) -> Result<Vec<String>> {
    let mut wanted = Vec::new();
    for name in names {
        let shared = "artel".to_owned();
        let log = match name {
            name if there.contains(name) => name.clone(),
            name if services.contains(&name.as_str()) && there.contains(&shared) => shared,
            _ => bail!("there is no log of `{name}`; there are: {}", there.join(", ")),
        };
        if !wanted.contains(&log) {
            wanted.push(log);
        }
    }
    Ok(wanted)
}

fn names(state: &State) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(state.logs())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn print(name: &str, width: usize, text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let (bold, plain) = if out.is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    for line in text.lines() {
        writeln!(out, "{bold}{name:<width$}{plain} | {line}")?;
    }
    Ok(())
}

/// How far a log was read.
#[derive(Default)]
struct Seen {
    file: u64,
    length: u64,
    /// The beginning of a line whose end isn't written yet.
    rest: String,
}

impl Seen {
    /// The whole lines added since the last look.
    fn read(&mut self, state: &State, name: &str) -> Result<String> {
        let Ok(mut file) = File::open(state.log(name)) else { return Ok(String::new()) };
        let meta = file.metadata()?;
        if meta.ino() != self.file || meta.len() < self.length {
            self.length = 0;
            self.file = meta.ino();
        }
        file.seek(SeekFrom::Start(self.length))?;
        let mut bytes = Vec::new();
        self.length += file.read_to_end(&mut bytes)? as u64;
        self.rest.push_str(&String::from_utf8_lossy(&bytes));
        let whole = self.rest.rfind('\n').map_or(0, |at| at + 1);
        Ok(self.rest.drain(..whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_one_process_share_its_log() {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let services = ["notify", "order"];
        let together = wanted(&texts(&["order", "notify", "redis"]), &texts(&["artel", "redis"]), &services);
        assert_eq!(together.unwrap(), ["artel", "redis"]);
        let apart = wanted(&texts(&["order"]), &texts(&["artel", "order"]), &services);
        assert_eq!(apart.unwrap(), ["order"]);
        assert!(wanted(&texts(&["nope"]), &texts(&["artel"]), &services).is_err());
    }
}
