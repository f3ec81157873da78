//! What is written down about a machine: enough to start it again, or to remove it, from another process.

use super::registry::NetworkRecord;
use super::{paths, shell};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// A file or folder of the box that appears in the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the box.
    pub source: PathBuf,
    /// Path in the machine; made if missing.
    pub target: PathBuf,
    /// Whether the machine may not write there.
    pub read_only: bool,
}

/// One machine, as its `machine.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct MachineRecord {
    pub name: String,
    pub address: Ipv4Addr,
    pub rootfs: PathBuf,
    pub mounts: Vec<Mount>,
    pub pod_subnet: Option<String>,
}

impl MachineRecord {
    /// Name of the container, of the network namespace and of nothing else.
    pub fn id(&self, network: &NetworkRecord) -> String {
        format!("{}-{}", network.tag(), self.name)
    }

    /// The box's end of the machine's cable.
    pub fn cable(&self, network: &NetworkRecord) -> String {
        format!("{}v{}", network.tag(), self.address.octets()[3])
    }

    pub fn folder(&self, network: &NetworkRecord) -> PathBuf {
        network.folder.join(&self.name)
    }

    pub fn save(&self, network: &NetworkRecord) -> Result<()> {
        let folder = self.folder(network);
        paths::create(&folder)?;
        paths::replace(&folder.join("machine.json"), &serde_json::to_vec_pretty(self)?)
    }
}

/// Every machine of the network, sorted by name.
pub(super) fn all(network: &NetworkRecord) -> Result<Vec<MachineRecord>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(&network.folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error).with_context(|| format!("reading {}", network.folder.display())),
    };
    for entry in entries {
        let file = entry?.path().join("machine.json");
        if file.is_file() {
            found.push(read(&file)?);
        }
    }
    found.sort_by(|one: &MachineRecord, other| one.name.cmp(&other.name));
    Ok(found)
}

pub(super) fn find(network: &NetworkRecord, name: &str) -> Result<MachineRecord> {
    let file = network.folder.join(name).join("machine.json");
    if !file.is_file() {
        bail!("network {} has no machine {name:?}", network.name);
    }
    read(&file)
}

fn read(file: &Path) -> Result<MachineRecord> {
    let bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("parsing {}", file.display()))
}

/// Names become host names, file names and container names.
pub(super) fn check_name(what: &str, name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty()
        || name.len() > 40
        || !name.bytes().all(legal)
        || name.starts_with('-')
        || name.ends_with('-')
    {
        bail!(
            "{what} name {name:?}: expected 1 to 40 lower-case letters, digits and dashes, no dash at either end"
        );
    }
    Ok(())
}

/// Runs `runc` with the test bed's own state folder.
pub(super) fn runc(arguments: &[&str]) -> Result<String> {
    let all: Vec<&str> = ["--root", paths::RUNC].into_iter().chain(arguments.iter().copied()).collect();
    shell::run("runc", &all)
}
