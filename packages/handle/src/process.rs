//! What a process says about itself beside its metrics: its version, and what it takes of the machine.

use std::fmt::Write as _;
use std::fs;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// In which the kernel counts processor time, a second: fixed in its interface, whatever its own clock.
const TICKS: f64 = 100.0;

static BEGUN: LazyLock<f64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));

/// Lines in Prometheus' text format, under the names that all its clients use. What cannot be read is left out.
pub(crate) fn page() -> String {
    let mut page = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(page, "# TYPE artel_build_info gauge\nartel_build_info{{version=\"{version}\"}} 1");
    let mut say = |name: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = writeln!(page, "# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    say("process_start_time_seconds", "gauge", Some(*BEGUN));
    say("process_cpu_seconds_total", "counter", cpu_seconds(&stat));
    say(
        "process_resident_memory_bytes",
        "gauge",
        after(&status, "VmRSS:").map(|kilobytes| kilobytes * 1024.0),
    );
    say("process_threads", "gauge", after(&status, "Threads:"));
    // One of them is this reading.
    say("process_open_fds", "gauge", fs::read_dir("/proc/self/fd").ok().map(|all| all.count() as f64 - 1.0));
    say("process_max_fds", "gauge", after(&limits, "Max open files"));
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let metrics = runtime.metrics();
        say("artel_runtime_tasks", "gauge", Some(metrics.num_alive_tasks() as f64));
        say("artel_runtime_queue_depth", "gauge", Some(metrics.global_queue_depth() as f64));
    }
    page
}

/// The first number behind a name at the beginning of a line.
fn after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time. The program's name before them may hold anything, but ends with the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_says_what_it_takes() {
        let page = page();
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_threads"] {
            assert!(page.contains(&format!("\n{name} ")), "{name} in {page}");
        }
        let value = |name| page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value("process_open_fds ").unwrap() >= 3.0);
        assert!(value("process_max_fds ").unwrap() >= 256.0);
    }

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "1 (a ) b) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
    }
}
