//! From anything - running, half started, interrupted - to nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{cgroups, dir, host, network};
use crate::control_plane::run_kubectl;
use crate::process::Process;

/// In every cluster folder, so that no other folder of that name is ever removed.
pub const MARK: &str = ".testbed";

/// Takes down what is in this state folder. Goes on after a failure, and says at the end what could not be removed.
pub fn clean(state: &Path) -> Result<()> {
    let dir = dir(state);
    if dir.exists() && !dir.join(MARK).exists() {
        bail!("{} was not made by the test bed: name another state folder", dir.display());
    }
    let mut problems = Vec::new();
    let mut note = |result: Result<()>| {
        if let Err(error) = result {
            problems.push(format!("{error:#}"));
        }
    };
    let mut processes = Process::found_in(&dir);
    let mut stop = |name: &str, patience: u64| {
        for process in processes.iter_mut().filter(|process| process.name() == name) {
            process.stop(Duration::from_secs(patience));
        }
    };
    // Nobody makes new pods, then the kubelet ends those there are: it knows how to unmount and disconnect them.
    for name in ["agent", "kube-controller-manager", "kube-scheduler"] {
        stop(name, 2);
    }
    if Process::found_in(&dir).iter().any(|process| process.name() == "kubelet") {
        end_pods(&dir);
    }
    stop("kubelet", 5);
    // What is left of pods is ended by their control group, while containerd can still see it.
    note(cgroups::remove());
    end_shims(&dir);
    // A database of a test ends in order now that its clients are gone. The API server before etcd: without etcd it
    // hangs.
    for name in ["postgres", "kube-proxy", "containerd", "coredns", "kube-apiserver", "etcd"] {
        stop(name, 10);
    }
    for process in &mut processes {
        process.stop(Duration::ZERO);
    }
    network::down();
    note(host::unmount_below(&dir));
    note(host::restore(&dir));
    if dir.exists() && host::mounted_below(&dir).is_empty() {
        note(fs::remove_dir_all(&dir).map_err(Into::into));
    }
    // The state folder itself goes if nobody else keeps anything in it.
    let _ = fs::remove_dir(state);
    problems.extend(left(&dir).into_iter().map(|left| format!("{left} is left")));
    if problems.is_empty() {
        Ok(())
    } else {
        bail!("could not remove all of the cluster: {}", problems.join("; "))
    }
}

/// What is still there of a cluster whose files were in this folder.
pub fn left(dir: &Path) -> Vec<String> {
    let mut left = network::left();
    left.extend(cgroups::left().iter().map(|group| format!("control group {}", group.display())));
    left.extend(host::mounted_below(dir).iter().map(|mount| format!("mount {}", mount.display())));
    left.extend(Process::found_in(dir).iter().map(|process| format!("process {}", process.name())));
    if dir.exists() {
        left.push(format!("folder {}", dir.display()));
    }
    left
}

fn end_pods(dir: &Path) {
    let args = ["delete", "pods", "--all-namespaces", "--all", "--grace-period=1", "--timeout=20s", "--wait"];
    if let Err(error) = run_kubectl(&dir.join("kubeconfig"), &args) {
        // A webhook or finalizer of a test may stand in the way; the control group does not ask them.
        eprintln!("cluster: pods did not end by themselves: {error:#}");
    }
}

/// containerd's shims outlive it on purpose; ours name our socket.
fn end_shims(dir: &Path) {
    let socket = super::node::socket(dir);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = command.split(|&byte| byte == 0).collect();
        let is_shim = words.first().is_some_and(|word| word.ends_with(b"containerd-shim-runc-v2"));
        if is_shim && words.contains(&socket.as_bytes()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}
