//! The root file system that all machines share: built once, cached, never written to again.

use super::{mounts, packages, paths, shell};
use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SUITE: &str = "bookworm";

/// First step: what debootstrap can resolve by itself.
const BASE: &str = "systemd,systemd-sysv,dbus,openssh-server,iproute2,iptables,nftables,curl,ca-certificates,\
procps,kmod,conntrack,ipset,ethtool,socat,sudo,python3,iputils-ping,netbase,\
containerd,runc,containernetworking-plugins";

/// Second step: cloud-init depends on a virtual package, over which debootstrap trips.
const SECOND: [&str; 2] = ["cloud-init", "python3-cffi-backend"];

/// Third step: users, settings, removal of what is not needed.
const FINISH: &str = include_str!("finish.sh");

/// The folder of the root file system, built first if this recipe was never built here (about a minute).
pub async fn ensure() -> Result<PathBuf> {
    tokio::task::spawn_blocking(ensure_blocking).await?
}

pub(super) fn ensure_blocking() -> Result<PathBuf> {
    packages::ensure()?;
    let recipe = Sha256::digest([SUITE, BASE, &SECOND.join(","), FINISH].join("\n"));
    let cache = paths::cache()?;
    let folder = cache.join(format!("rootfs-{}", &hex::encode(recipe)[..12]));
    if folder.is_dir() {
        return Ok(folder);
    }
    let lock = paths::lock_file(&cache.join("rootfs.lock"))?;
    lock.lock().context("waiting for another build of the machines' root file system")?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    mounts::remove(&partial).context("removing what an interrupted build left")?;
    let start = Instant::now();
    eprintln!("testbed: building the machines' root file system in {} (about a minute)", folder.display());
    if let Err(error) = build(&partial) {
        mounts::remove(&partial)?;
        return Err(error.context("building the machines' root file system"));
    }
    std::fs::rename(&partial, &folder)?;
    eprintln!("testbed: root file system built in {:.0} s", start.elapsed().as_secs_f32());
    Ok(folder)
}

fn build(root: &Path) -> Result<()> {
    let path =
        root.to_str().context("the cache folder's name is not UTF-8: set K0SMOTRON_CACHE to another")?;
    let include = format!("--include={BASE}");
    let mut bootstrap = vec!["--variant=minbase", &include, SUITE, path];
    // debootstrap knows Debian's mirror; whoever has one nearer names it.
    let mirror = std::env::var("K0SMOTRON_DEBIAN_MIRROR").unwrap_or_default();
    if !mirror.is_empty() {
        bootstrap.push(&mirror);
    }
    shell::run("debootstrap", &bootstrap)?;
    // Packages configured in a chroot must not start their services on this box.
    let policy = root.join("usr/sbin/policy-rc.d");
    std::fs::write(&policy, "#!/bin/sh\nexit 101\n")?;
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o755))?;
    let mut install = vec![
        path,
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
    ];
    install.extend(SECOND);
    shell::run("chroot", &install)?;
    shell::feed("chroot", &[path, "sh", "-s"], FINISH)?;
    mounts::unmount_below(root)
}
