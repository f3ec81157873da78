//! What a process uses, as the kernel tells it.

use std::fs;

use anyhow::{Context, Result};

/// Clock ticks of `/proc/<pid>/stat` per second: USER_HZ, 100 on every architecture we build for.
const TICKS: f64 = 100.0;

/// At one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds since its start, user and system.
    pub cpu: f64,
    /// Resident memory, MiB.
    pub rss: f64,
    /// Of that its own, MiB: the rest are pages of its program, which the kernel may drop.
    pub own: f64,
    /// The most it had resident, MiB.
    pub peak: f64,
}

impl Usage {
    /// Of a running process.
    pub fn of(pid: i32) -> Result<Self> {
        let stat =
            fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
        Self::read(&stat, &status).with_context(|| format!("/proc/{pid} is not understood"))
    }

    fn read(stat: &str, status: &str) -> Option<Self> {
        // The command's name is in parentheses and may contain anything, so fields count from the last one.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
        };
        Some(Self {
            cpu: (ticks(11)? + ticks(12)?) / TICKS,
            rss: mebibytes("VmRSS:")?,
            own: mebibytes("RssAnon:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_and_memory_are_read_past_a_name_with_parentheses() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 99";
        let usage =
            Usage::read(stat, "Name:\ta\nVmHWM:\t  4096 kB\nVmRSS:\t  2048 kB\nRssAnon:\t  1024 kB\n")
                .unwrap();
        assert!(
            (usage.cpu - 3.0).abs() < 1e-9
                && (usage.rss - 2.0).abs() < 1e-9
                && (usage.peak - 4.0).abs() < 1e-9
        );
    }
}
