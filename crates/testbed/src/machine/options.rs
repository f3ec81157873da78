//! What a machine may be told before it starts.

use super::record::Mount;
use std::net::Ipv4Addr;

/// A file that the machine has from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFile {
    /// Absolute path in the machine.
    pub path: String,
    /// Its text.
    pub content: String,
    /// Permission bits, for example `0o644`.
    pub mode: u32,
}

/// What a machine may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineOptions {
    /// Host name, unique in its network.
    pub name: String,
    /// Address; unset, the lowest free one from `.10` on.
    pub ip: Option<Ipv4Addr>,
    /// Public keys that may log in as root, `ubuntu` (sudo), `strict` (sudo with a terminal only), `guest` (no sudo).
    pub authorized_keys: Vec<String>,
    /// What a cloud would hand over: a cloud-config or a script, run as it is at the first boot.
    pub user_data: Option<String>,
    /// Folders and files of the box that appear in the machine, for example a k0s binary.
    pub mounts: Vec<Mount>,
    /// Files written before the first boot.
    pub files: Vec<MachineFile>,
    /// Whether containerd runs, configured for a kubelet, at `/run/containerd/containerd.sock`.
    pub worker: bool,
    /// The pause image's name for that containerd; import it with [`Machine::import_image`].
    pub sandbox_image: String,
    /// A pod subnet makes the machine's pod network (bridge, masquerading) without any add-on.
    pub pod_subnet: Option<String>,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            ip: None,
            authorized_keys: Vec::new(),
            user_data: None,
            mounts: Vec::new(),
            files: Vec::new(),
            worker: false,
            sandbox_image: "testbed.local/pause:1".to_owned(),
            pod_subnet: None,
        }
    }
}
