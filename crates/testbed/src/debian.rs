//! Debian packages that the test bed needs on the machine itself.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Everything the [`Cluster`](crate::Cluster) and the [`machine`](crate::machine)s run or ask.
pub const PACKAGES: [&str; 14] = [
    "containerd",
    "runc",
    "containernetworking-plugins",
    "nftables",
    "iptables",
    "conntrack",
    "ipset",
    "ethtool",
    "socat",
    "tini",
    "busybox-static",
    "debootstrap",
    "psmisc",
    "iproute2",
];

/// Says why the test bed cannot work here, before anything is built: it needs root and apt-get or the packages.
pub fn require_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "the test bed makes network namespaces, mounts and containers: run it as root (e.g. with sudo)"
        );
    }
    Ok(())
}

/// Installs those of the packages that are missing, and says so on standard error.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    require_root()?;
    let start = std::time::Instant::now();
    eprintln!("debian: installing {}", missing.join(" "));
    // A fresh machine has no package lists, an old one may have lists of what is no longer there.
    if apt_get("install", &missing).is_err() {
        apt_get("update", &[])?;
        apt_get("install", &missing)?;
    }
    eprintln!("debian: installed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn missing<'a>(packages: &[&'a str]) -> Result<Vec<&'a str>> {
    let out = Command::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(packages)
        .output();
    let out = out.with_context(|| {
        format!(
            "the test bed installs Debian packages; elsewhere, install what {} contain",
            packages.join(", ")
        )
    })?;
    let known = String::from_utf8_lossy(&out.stdout).into_owned();
    let installed = |package: &str| known.lines().any(|line| line == format!("{package} installed"));
    Ok(packages.iter().copied().filter(|package| !installed(package)).collect())
}

fn apt_get(verb: &str, packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Another installation may be running: its lock is waited for.
    command
        .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", verb])
        .args(packages);
    let out = command.env("DEBIAN_FRONTEND", "noninteractive").output().context("run apt-get")?;
    if !out.status.success() {
        bail!("{command:?}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}
