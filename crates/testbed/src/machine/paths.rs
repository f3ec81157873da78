//! Where the machines' files are: disks in the cache folder, what must not outlive a reboot of the box in `/run`.

use anyhow::{Context, Result};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// Registry, locks and runc's state: gone after a reboot of the box, as are the things they describe.
pub(super) const RUNTIME: &str = "/run/k0smotron-testbed";

/// runc's own folder, so that its list holds the test bed's containers alone.
pub(super) const RUNC: &str = "/run/k0smotron-testbed/runc";

/// `K0SMOTRON_CACHE`, or `~/.cache/k0smotron-rs`.
pub(super) fn cache() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("K0SMOTRON_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    let home =
        std::env::var_os("HOME").context("neither K0SMOTRON_CACHE nor HOME is set: set one of them")?;
    Ok(PathBuf::from(home).join(".cache/k0smotron-rs"))
}

/// Opens (creates) a lock file; it is locked by the caller and unlocked when closed, even by SIGKILL.
pub(super) fn lock_file(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        create(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("opening lock {}", path.display()))
}

/// The lock under which networks, addresses and sysctls are given out; held for milliseconds.
pub(super) fn box_lock() -> Result<File> {
    let file = lock_file(&Path::new(RUNTIME).join("lock"))?;
    file.lock().context("locking the test bed's registry")?;
    Ok(file)
}

/// `create_dir_all` with the path in the error.
pub(super) fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

/// Writes a file through a rename, so that a reader never sees half of it.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let next = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&next, content).with_context(|| format!("writing {}", next.display()))?;
    std::fs::rename(&next, path).with_context(|| format!("renaming to {}", path.display()))
}

/// The names in a folder; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("reading {}", folder.display())),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}
