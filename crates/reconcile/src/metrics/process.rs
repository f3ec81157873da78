//! What the kernel says of this process, under the names that every Prometheus client uses.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The kernel tells times in this unit on every platform we ship (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
const BYTES_PER_KIB: f64 = 1024.0;

#[derive(Debug)]
pub(super) struct Process;

/// What could be read; where there is no `/proc`, nothing.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    cpu_seconds: Option<f64>,
    start_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Facts {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut facts = Self::parse(
            &text("/proc/self/stat"),
            &text("/proc/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
        );
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let count = |folder: fs::ReadDir| folder.count() as f64;
        facts.open_fds = fs::read_dir("/proc/self/fd").ok().map(count);
        facts
    }

    fn parse(stat: &str, machine: &str, status: &str, limits: &str) -> Self {
        // The command's name is in parentheses and may contain anything, so fields count from the last one.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let ticks = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
        let word = |text: &str, key: &str, index: usize| {
            let rest = text.lines().find_map(|line| line.strip_prefix(key))?;
            rest.split_whitespace().nth(index)?.parse::<f64>().ok()
        };
        let (user, system, after_boot) = (ticks(11), ticks(12), ticks(19));
        Self {
            cpu_seconds: user.zip(system).map(|(user, system)| user + system),
            start_seconds: after_boot.zip(word(machine, "btime", 0)).map(|(after, boot)| boot + after),
            resident_bytes: word(status, "VmRSS:", 0).map(|kib| kib * BYTES_PER_KIB),
            virtual_bytes: word(status, "VmSize:", 0).map(|kib| kib * BYTES_PER_KIB),
            open_fds: None,
            max_fds: word(limits, "Max open files", 0),
        }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let facts = Facts::read();
        if let Some(seconds) = facts.cpu_seconds {
            let help = "Processor time used, of users and system.";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(metric)?;
        }
        for (name, help, value) in [
            ("process_start_time_seconds", "When it started, in seconds since 1970.", facts.start_seconds),
            ("process_resident_memory_bytes", "Memory in use.", facts.resident_bytes),
            ("process_virtual_memory_bytes", "Address space in use.", facts.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", facts.open_fds),
            ("process_max_fds", "Most file descriptors it may have.", facts.max_fds),
        ] {
            if let Some(value) = value {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(value).encode(metric)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_kernel_become_seconds_and_bytes() {
        let facts = Facts::parse(
            "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 0 0 20 0 3 0 1000 0 0",
            "cpu 1 2\nbtime 1700000000\n",
            "Name:\tmanager\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n",
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max open files            1024                 4096                 files\n",
        );
        let wanted = Facts {
            cpu_seconds: Some(2.0),
            start_seconds: Some(1_700_000_010.0),
            resident_bytes: Some(1_048_576.0),
            virtual_bytes: Some(2_097_152.0),
            open_fds: None,
            max_fds: Some(1024.0),
        };
        assert_eq!(facts, wanted);
        assert_eq!(Facts::parse("", "", "", ""), Facts::default());
        assert!(Facts::read().resident_bytes > Some(0.0));
    }
}
