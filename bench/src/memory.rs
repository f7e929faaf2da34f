//! What a process holds of the memory.

use std::fs;

use anyhow::{Context as _, Result};

/// Megabytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident.
    pub resident: f64,
    /// Resident, what is shared with other processes counted once among them.
    pub proportional: f64,
}

impl Memory {
    /// Of a process.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let status = read("status")?;
        Ok(Self {
            resident: megabytes(&status, "VmRSS:")?,
            proportional: megabytes(&read("smaps_rollup")?, "Pss:")?,
        })
    }
}

fn megabytes(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("no {label}"))? / 1024.0)
}
