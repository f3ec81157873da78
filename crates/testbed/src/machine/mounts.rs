//! Mounts, and removing a folder without ever reaching through one.

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};

/// An overlay of `upper` over `lower` at `target`.
pub(super) fn overlay(lower: &Path, upper: &Path, work: &Path, target: &Path) -> Result<()> {
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("mounting an overlay at {}", target.display()))
}

/// Makes `folder` a mount of its own that propagates nowhere.
///
/// On a box whose `/` is shared (any with systemd), mounts made inside a machine would otherwise appear here.
pub(super) fn isolate(folder: &Path) -> Result<()> {
    let none = None::<&str>;
    mount(Some(folder), folder, none, MsFlags::MS_BIND, none)
        .and_then(|()| mount(none, folder, none, MsFlags::MS_PRIVATE, none))
        .with_context(|| format!("making {} a private mount", folder.display()))
}

/// Everything mounted at or below `folder`, deepest first.
pub(super) fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context("reading mountinfo")?;
    let mut found: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(folder))
        .collect();
    found.reverse();
    Ok(found)
}

/// Unmounts everything at or below `folder`.
pub(super) fn unmount_below(folder: &Path) -> Result<()> {
    for path in below(folder)? {
        umount2(&path, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", path.display()))?;
    }
    Ok(())
}

/// Unmounts what is below `folder`, then deletes it; deletes nothing while anything is still mounted there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    unmount_below(folder)?;
    if let Some(path) = below(folder)?.first() {
        bail!("not deleting {}: {} is still mounted", folder.display(), path.display());
    }
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("deleting {}", folder.display()))
        }
        _ => Ok(()),
    }
}
