//! What exists on this box, for whoever comes next: one file per network, and a lock its owner holds while it lives.

use super::paths::{self, RUNTIME};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// Everything needed to find and remove a network and its machines.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NetworkRecord {
    pub name: String,
    /// Folder of the machines' disks.
    pub folder: PathBuf,
    /// The box's own address in the network.
    pub gateway: Ipv4Addr,
    pub prefix: u8,
    /// Whether machines may leave the box, masqueraded.
    pub internet: bool,
    /// Outlives the process that made it.
    pub detached: bool,
}

impl NetworkRecord {
    /// Nine characters that begin the name of everything this network has in the kernel: interface names are short.
    pub fn tag(&self) -> String {
        tag(&self.name)
    }

    pub fn bridge(&self) -> String {
        format!("{}br", self.tag())
    }

    /// The network's first address.
    pub fn base(&self) -> u32 {
        u32::from(self.gateway) & mask(self.prefix)
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base()
    }

    pub fn overlaps(&self, base: u32, prefix: u8) -> bool {
        let shorter = mask(self.prefix.min(prefix));
        self.base() & shorter == base & shorter
    }
}

pub(super) fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

pub(super) const TAG_PREFIX: &str = "k0sm";

pub(super) fn tag(name: &str) -> String {
    format!("{TAG_PREFIX}{}", &hex::encode(Sha256::digest(name))[..5])
}

/// Whether `name` begins with some network's tag, and if so which.
pub(super) fn tag_of(name: &str) -> Option<&str> {
    let tag = name.get(..TAG_PREFIX.len() + 5)?;
    let digits = tag.strip_prefix(TAG_PREFIX)?;
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(tag)
}

fn folder() -> PathBuf {
    Path::new(RUNTIME).join("networks")
}

fn entry(name: &str) -> PathBuf {
    folder().join(format!("{}.json", tag(name)))
}

/// Every network known on this box.
pub(super) fn all() -> Result<Vec<NetworkRecord>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(folder()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error).context("reading the test bed's registry"),
    };
    for item in entries {
        let path = item?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match std::fs::read(&path) {
                Ok(bytes) => found.push(
                    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", path.display()))?,
                ),
                // Removed by another process since the listing.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
            }
        }
    }
    Ok(found)
}

/// The network called `name`.
pub(super) fn find(name: &str) -> Result<Option<NetworkRecord>> {
    Ok(all()?.into_iter().find(|record| record.name == name))
}

pub(super) fn save(record: &NetworkRecord) -> Result<()> {
    paths::create(&folder())?;
    paths::replace(&entry(&record.name), &serde_json::to_vec_pretty(record)?)
}

pub(super) fn forget(name: &str) -> Result<()> {
    for file in [entry(name), entry(name).with_extension("lock")] {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The owner's lock on the network, or `None` while a living process has it. Call under [`paths::box_lock`].
pub(super) fn own(name: &str) -> Result<Option<File>> {
    let file = paths::lock_file(&entry(name).with_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error).context("locking a network"),
    }
}
