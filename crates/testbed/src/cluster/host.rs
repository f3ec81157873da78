//! What the cluster shares with the machine: the lock, kernel settings, and folders that programs use whatever they
//! are told.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::sysctls;

/// Who holds the settings.
const HOLDER: &str = "management-cluster";

/// What the kubelet would set for itself and leave, what pods' networks need, and what many watching programs need.
const SETTINGS: [(&str, &str); 11] = [
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("vm.overcommit_memory", "1"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.keys.root_maxbytes", "25000000"),
    ("net.ipv4.ip_forward", "1"),
    // A pod that calls a Service of a pod on the same bridge: the answer must pass the same rules.
    ("net.bridge.bridge-nf-call-iptables", "1"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("fs.inotify.max_user_instances", "8192"),
    ("fs.inotify.max_user_watches", "524288"),
    ("net.ipv4.conf.all.rp_filter", "0"),
];

/// Folders that containerd, its network plugins and the kubelet use outside their own.
const FOLDERS: [&str; 6] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/pods",
    "/var/log/containers",
    "/etc/kubernetes",
];

#[derive(Debug, Default, Deserialize, Serialize)]
struct Before {
    folders: Vec<PathBuf>,
}

/// The lock that the owner of the machine's one cluster holds.
pub fn lock(state: &Path) -> Result<File> {
    let path = Path::new("/run/k0smotron-testbed");
    fs::create_dir_all(path)?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .open(path.join("cluster.lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!(
                "cluster: another process has one (there is one at a time on a machine); waiting for its end"
            );
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error).context("lock the cluster"),
    }
    // Whoever comes next finds where the debris is, if this run is interrupted.
    let noted = path.join("cluster");
    let last = fs::read_to_string(&noted).unwrap_or_default();
    if !last.is_empty() && last != state.to_string_lossy() && Path::new(&last).join("cluster").exists() {
        if super::is_kept(Path::new(&last))
            && super::Cluster::attach(Path::new(&last)).is_ok_and(|it| it.is_running())
        {
            anyhow::bail!(
                "a cluster runs from {last}, and there is one at a time: `testbed down --state {last}`"
            );
        }
        super::clean::clean(Path::new(&last))?;
    }
    fs::write(noted, state.to_string_lossy().as_bytes())?;
    Ok(lock)
}

/// Notes what is there before, and changes the kernel's settings.
pub fn prepare(dir: &Path) -> Result<()> {
    let folders = FOLDERS.iter().map(PathBuf::from).filter(|folder| folder.exists()).collect();
    fs::write(dir.join("before.json"), serde_json::to_vec(&Before { folders })?)?;
    let _ = crate::run::run("modprobe", &["br_netfilter"]);
    let known = |name: &str| Path::new("/proc/sys").join(name.replace('.', "/")).exists();
    let settings: Vec<_> = SETTINGS.into_iter().filter(|(name, _)| known(name)).collect();
    sysctls::hold(HOLDER, &settings)
}

/// Puts settings and folders back.
pub fn restore(dir: &Path) -> Result<()> {
    let before = fs::read(dir.join("before.json")).ok();
    let before: Option<Before> = before.and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(before) = before {
        for folder in FOLDERS.iter().map(PathBuf::from).filter(|folder| !before.folders.contains(folder)) {
            unmount_below(&folder)?;
            if let Err(error) = fs::remove_dir_all(&folder)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error).context(folder.display().to_string());
            }
        }
    }
    sysctls::release(HOLDER)
}

/// What is mounted at a folder or below, deepest first.
pub fn mounted_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|point| PathBuf::from(point.replace("\\040", " ")))
        .filter(|point| point.starts_with(folder))
        .collect();
    points.reverse();
    points
}

/// Unmounts everything at a folder or below.
pub fn unmount_below(folder: &Path) -> Result<()> {
    for point in mounted_below(folder) {
        nix::mount::umount2(&point, nix::mount::MntFlags::MNT_DETACH)
            .with_context(|| format!("unmount {}", point.display()))?;
    }
    Ok(())
}
