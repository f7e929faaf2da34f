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
    /// The most that was ever resident.
    pub peak: f64,
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
            peak: megabytes(&status, "VmHWM:")?,
            proportional: megabytes(&read("smaps_rollup")?, "Pss:")?,
        })
    }
}

/// Lets the peak begin anew at what is resident now.
pub fn forget_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of a process")
}

fn megabytes(text: &str, label: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    Ok(kilobytes.with_context(|| format!("no {label}"))? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_stays_until_it_is_forgotten() {
        let pid = std::process::id();
        let before = Memory::of(pid).unwrap();
        let block = vec![1_u8; 64 << 20];
        std::hint::black_box(&block);
        drop(block);
        let after = Memory::of(pid).unwrap();
        assert!(after.peak > before.resident + 60.0, "{after:?}");
        forget_peak(pid).unwrap();
        // The allocator may keep the block for later: then it is resident still, and the peak no more than that.
        let forgotten = Memory::of(pid).unwrap();
        assert!(forgotten.peak < forgotten.resident + 1.0, "{forgotten:?}");
    }
}
