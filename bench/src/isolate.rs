//! A network namespace with nothing but loopback: simulated pods have addresses that nobody may be reached under.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;

/// Runs this program again, with the same words and `more`, in a network namespace of its own; fails as it fails.
pub fn run_again(more: &[&Path]) -> Result<()> {
    let program = std::env::current_exe().context("this program's own path")?;
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).arg(program);
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
