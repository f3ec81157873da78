//! The control group that all pods are in: by it they are found and ended, whoever their parents were.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Its name in every hierarchy.
pub const GROUP: &str = "k0smotron-testbed";

/// The roots of all mounted hierarchies, of this version.
fn mounted(version: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let lines = table.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(2) == Some(&version))
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect()
}

/// The hierarchies that containers are put into: those of version 1 where there are any, for then version 2 is
/// mounted beside them without controllers.
fn hierarchies() -> Vec<PathBuf> {
    let old = mounted("cgroup");
    if old.is_empty() { mounted("cgroup2") } else { old }
}

/// Makes it: the kubelet wants its root to exist.
pub fn make() -> Result<()> {
    for root in hierarchies() {
        let group = root.join(GROUP);
        fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
        // A new group of version 1 has no processors and no memory nodes until it is told.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let parent = fs::read_to_string(root.join(file)).unwrap_or_default();
            if root.join("tasks").exists() && !parent.trim().is_empty() {
                fs::write(group.join(file), parent.trim())
                    .with_context(|| format!("{file} of {}", group.display()))?;
            }
        }
        // All pods together would get as much of a busy machine as a single process outside; they are a dozen
        // control planes, whose probes give up on them when they starve.
        for (file, sixteen_processes) in [("cpu.shares", "16384"), ("cpu.weight", "1600")] {
            let file = group.join(file);
            if file.exists() {
                fs::write(&file, sixteen_processes).with_context(|| file.display().to_string())?;
            }
        }
    }
    Ok(())
}

/// Kills every process in it and removes it.
pub fn remove() -> Result<()> {
    let start = Instant::now();
    loop {
        let mut busy = false;
        for group in left() {
            let (groups, pids) = below(&group);
            for pid in pids {
                busy = true;
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            for group in groups {
                // A group whose processes are just dying is still busy.
                busy |= fs::remove_dir(group).is_err();
            }
        }
        if !busy {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(10) {
            bail!("control groups are left: {:?}", left());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Where it exists; runc makes it in a version 2 hierarchy beside those of version 1, too.
pub fn left() -> Vec<PathBuf> {
    mounted("cgroup")
        .into_iter()
        .chain(mounted("cgroup2"))
        .map(|root| root.join(GROUP))
        .filter(|group| group.exists())
        .collect()
}

/// The groups from here down, deepest first, and the processes in them.
fn below(group: &Path) -> (Vec<PathBuf>, Vec<i32>) {
    let (mut groups, mut pids) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let (more, theirs) = below(&entry.path());
            groups.extend(more);
            pids.extend(theirs);
        }
    }
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(procs.lines().filter_map(|line| line.parse::<i32>().ok()));
    groups.push(group.to_owned());
    (groups, pids)
}
