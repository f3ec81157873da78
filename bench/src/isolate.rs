//! A network namespace with nothing but loopback: no packet to the address of a simulated pod leaves it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

/// The network of simulated pods: whoever calls one of them calls this program.
pub const PODS: &str = "10.128.0.0/16";

/// Runs this program again, with the same words and `more`, in a network namespace of its own; fails as it fails.
pub fn run_again(more: &[&Path]) -> Result<()> {
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let script = format!("ip link set lo up && ip route add local {PODS} dev lo && exec \"$0\" \"$@\"");
    command.args(["--", "sh", "-c", &script]).arg(program);
    let status = command
        .args(std::env::args_os().skip(1))
        .args(more)
        .status()
        .context("run unshare (package util-linux)")?;
    if !status.success() {
        bail!("in a network namespace of its own: {status}");
    }
    Ok(())
}
