//! What the box itself needs: root, a few programs, an overlay file system.

use super::shell;
use anyhow::{Context, Result, bail};
use std::sync::Mutex;

/// Program looked for, Debian package that has it.
const PROGRAMS: [(&str, &str); 5] = [
    ("debootstrap", "debootstrap"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("ssh-keygen", "openssh-client"),
];

/// Kernel modules that containers inside a machine use and that a machine cannot load for itself.
const MODULES: [(&str, &str); 2] =
    [("overlay", "/sys/module/overlay"), ("br_netfilter", "/proc/sys/net/bridge")];

static CHECKED: Mutex<bool> = Mutex::new(false);

/// Makes the box able to run machines, or says what stands in the way.
pub(super) fn ensure() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "machines are containers with systemd and need root on this box: run the same command with sudo"
        );
    }
    let mut checked =
        CHECKED.lock().map_err(|_| anyhow::anyhow!("an earlier check of this box's packages panicked"))?;
    if *checked {
        return Ok(());
    }
    install()?;
    for (module, present) in MODULES {
        if !std::path::Path::new(present).exists() && !built_in(module) {
            shell::run("modprobe", &[module])
                .with_context(|| format!("containers in machines need the kernel module {module}"))?;
        }
    }
    *checked = true;
    Ok(())
}

fn built_in(module: &str) -> bool {
    std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|list| list.lines().any(|line| line.trim_start_matches("nodev").trim() == module))
}

fn install() -> Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !shell::exists(program)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !shell::exists("apt-get") {
        bail!("this box lacks {} and has no apt-get: install them by hand", missing.join(", "));
    }
    eprintln!("testbed: installing {}", missing.join(" "));
    // Another process may be installing too: wait for dpkg's lock.
    let options = ["-o", "DPkg::Lock::Timeout=300", "install", "-y", "--no-install-recommends"];
    let arguments: Vec<&str> = options.into_iter().chain(missing.iter().copied()).collect();
    if shell::run("apt-get", &arguments).is_err() {
        shell::run("apt-get", &["-o", "DPkg::Lock::Timeout=300", "update"])?;
        shell::run("apt-get", &arguments)?;
    }
    Ok(())
}
