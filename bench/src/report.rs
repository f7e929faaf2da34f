//! What comes out: a table for people, and a file with every round.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::rounds::Series;

/// What a figure gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rounds of everything that was compared, by what was compared.
    pub sets: Vec<(&'static str, Vec<Series>)>,
    /// Each target and what became of it.
    pub verdicts: Vec<Verdict>,
    /// What else is worth knowing, a line each.
    pub notes: Vec<String>,
}

/// A target and what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// What was measured.
    pub what: String,
    /// What it should be.
    pub target: String,
    /// What it is.
    pub result: String,
    /// Whether it is that.
    pub met: bool,
}

impl Verdict {
    /// Should be at most this.
    pub fn at_most(what: &str, unit: &str, result: f64, target: f64) -> Self {
        Self::new(what, format!("<= {}{unit}", short(target)), format!("{}{unit}", short(result)), {
            result <= target
        })
    }

    /// Should be at least this.
    pub fn at_least(what: &str, unit: &str, result: f64, target: f64) -> Self {
        Self::new(what, format!(">= {}{unit}", short(target)), format!("{}{unit}", short(result)), {
            result >= target
        })
    }

    /// Should hold.
    pub fn holds(what: &str, target: &str, result: String, met: bool) -> Self {
        Self::new(what, target.to_owned(), result, met)
    }

    fn new(what: &str, target: String, result: String, met: bool) -> Self {
        Self { what: what.to_owned(), target, result, met }
    }
}

/// Three figures that say something.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

/// All figures of one call.
#[derive(Debug)]
pub struct Report {
    file: PathBuf,
    head: Value,
    figures: Vec<(&'static str, Result<Outcome>)>,
}

impl Report {
    /// An empty one, to be written into that folder.
    pub fn new(folder: &Path, options: Value) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let head =
            json!({ "unixTime": seconds, "options": options, "machine": machine(), "commit": commit() });
        Ok(Self { file: folder.join(format!("{seconds}.json")), head, figures: Vec::new() })
    }

    /// One more figure. What there is so far is on the disk after it.
    pub fn add(&mut self, figure: &'static str, outcome: Result<Outcome>) -> Result<()> {
        self.figures.push((figure, outcome));
        fs::write(&self.file, format!("{:#}\n", self.json()))
            .with_context(|| format!("cannot write {}", self.file.display()))
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> = self
            .figures
            .iter()
            .map(|(figure, outcome)| {
                let told = match outcome {
                    Err(error) => json!({ "error": format!("{error:#}") }),
                    Ok(outcome) => {
                        let sets: Map<String, Value> = outcome
                            .sets
                            .iter()
                            .map(|(set, series)| ((*set).to_owned(), json!(series)))
                            .collect();
                        json!({ "verdicts": outcome.verdicts, "notes": outcome.notes, "sets": sets })
                    }
                };
                ((*figure).to_owned(), told)
            })
            .collect();
        let mut all = self.head.clone();
        all["figures"] = Value::Object(figures);
        all
    }

    /// The table.
    pub fn table(&self) -> String {
        let mut rows = vec![["", "what", "target", "result", ""].map(str::to_owned)];
        let mut below = String::new();
        for (figure, outcome) in &self.figures {
            match outcome {
                Err(error) => {
                    rows.push([*figure, "not measured", "", "", "FAILED"].map(str::to_owned));
                    let _ = writeln!(below, "{figure}: {error:#}");
                }
                Ok(outcome) => {
                    for verdict in &outcome.verdicts {
                        let met = if verdict.met { "met" } else { "MISSED" };
                        rows.push([
                            (*figure).to_owned(),
                            verdict.what.clone(),
                            verdict.target.clone(),
                            verdict.result.clone(),
                            met.to_owned(),
                        ]);
                    }
                    for (set, series) in &outcome.sets {
                        for one in series {
                            let _ = writeln!(below, "{figure} {set}, {}: {}", one.name, one.summary());
                        }
                    }
                    for note in &outcome.notes {
                        let _ = writeln!(below, "{figure} {note}");
                    }
                }
            }
        }
        format!("{}\n{below}", aligned(&rows))
    }

    /// How many targets were missed, and figures not measured.
    pub fn missed(&self) -> (usize, usize) {
        let verdicts = self.figures.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
        let missed = verdicts.flat_map(|it| &it.verdicts).filter(|it| !it.met).count();
        (missed, self.figures.iter().filter(|(_, outcome)| outcome.is_err()).count())
    }

    /// Where the rounds are.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

fn aligned(rows: &[[String; 5]]) -> String {
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn machine() -> Value {
    let read = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        line.split_once(':').map_or(line.trim().to_owned(), |(_, value)| value.trim().to_owned())
    };
    json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": read("/proc/cpuinfo", "model name"),
        "memory": read("/proc/meminfo", "MemTotal"),
        "kernel": read("/proc/version", "Linux version"),
    })
}

fn commit() -> Value {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|changes| !changes.is_empty());
    json!({ "id": git(&["rev-parse", "HEAD"]), "changed": changed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_was_met_and_what_was_not() {
        let folder = std::env::temp_dir().join(format!("artel-report-{}", std::process::id()));
        let mut report = Report::new(&folder, json!({})).unwrap();
        let verdicts = vec![Verdict::at_least("rate", "x", 2.5, 2.0), Verdict::at_most("CPU", "x", 0.5, 0.4)];
        report.add("B3", Ok(Outcome { verdicts, ..Outcome::default() })).unwrap();
        report.add("B4", Err(anyhow::anyhow!("no database"))).unwrap();
        let table = report.table();
        let line = |word: &str| table.lines().find(|line| line.contains(word)).unwrap().to_owned();
        assert!(line("rate").ends_with("met") && !line("rate").ends_with("MISSED"), "{table}");
        assert!(line("CPU").ends_with("MISSED"), "{table}");
        assert!(line("B4").ends_with("FAILED") && table.contains("no database"), "{table}");
        assert_eq!(report.missed(), (1, 1));
        let written: Value = serde_json::from_str(&fs::read_to_string(report.file()).unwrap()).unwrap();
        assert_eq!(written["figures"]["B3"]["verdicts"][0]["met"], true);
        fs::remove_dir_all(folder).unwrap();
    }
}
