//! A machine, as tests and the quickstart hold it.

use super::network::{self, Network};
use super::options::MachineOptions;
use super::record::{self, MachineRecord};
use super::registry::{self, NetworkRecord};
use super::{container, disk, paths, rootfs};
use anyhow::{Context, Result, bail};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// A host with systemd, sshd and cloud-init. Dropping the value removes it, unless it was attached or detached.
#[derive(Debug)]
pub struct Machine {
    record: MachineRecord,
    network: NetworkRecord,
    owned: bool,
}

impl Machine {
    /// Makes a machine and boots it; [`wait_for_ssh`](Self::wait_for_ssh) says when it answers.
    pub async fn start(network: &Network, options: MachineOptions) -> Result<Self> {
        let network = network.record.clone();
        tokio::task::spawn_blocking(move || start(network, &options)).await?
    }

    /// Finds a machine made by another process. The value does not own it: dropping it removes nothing.
    pub fn attach(network: &str, name: &str) -> Result<Self> {
        let network =
            registry::find(network)?.with_context(|| format!("there is no machine network {network:?}"))?;
        let record = record::find(&network, name)?;
        Ok(Self { record, network, owned: false })
    }

    /// Leaves the machine to its network: it lives as long as that does.
    pub fn detach(&mut self) {
        self.owned = false;
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// Its address, the same for life.
    pub fn address(&self) -> Ipv4Addr {
        self.record.address
    }

    /// The machine's public host keys, for example `ssh-ed25519 AAAA... root@name`.
    pub fn host_keys(&self) -> Result<Vec<String>> {
        disk::host_keys(&self.folder())
    }

    /// Gives a running machine new host keys, as a reinstalled or an impersonated host would have, and returns them.
    pub async fn rotate_host_keys(&self) -> Result<Vec<String>> {
        let (folder, name) = (self.folder(), self.record.name.clone());
        let files = tokio::task::spawn_blocking(move || disk::new_host_keys(&folder, &name)).await??;
        for (path, content) in files {
            self.write_file(&path, &content).await?;
        }
        self.exec("systemctl restart ssh").await?;
        self.host_keys()
    }

    /// Power loss. The disk stays.
    pub async fn kill(&self) -> Result<()> {
        let id = self.id();
        tokio::task::spawn_blocking(move || container::kill(&id)).await?
    }

    /// Shuts the machine down in order, as `poweroff` would, within half a minute. The disk stays.
    pub async fn power_off(&self) -> Result<()> {
        let id = self.id();
        tokio::task::spawn_blocking(move || {
            // systemd's SIGRTMIN+4: start poweroff.target.
            record::runc(&["kill", &id, "38"])?;
            container::await_end(&id, Duration::from_secs(30))?;
            container::kill(&id)
        })
        .await?
    }

    /// Boots a killed machine from the disk it had.
    pub async fn start_again(&self) -> Result<()> {
        let (record, network) = (self.record.clone(), self.network.clone());
        tokio::task::spawn_blocking(move || container::boot(&record, &network)).await?
    }

    /// Whether it runs (paused counts).
    pub fn is_running(&self) -> Result<bool> {
        Ok(container::state(&self.id())?.is_some_and(|state| state.status != "stopped"))
    }

    /// Pulls the network cable.
    pub async fn unplug(&self) -> Result<()> {
        let (record, network) = (self.record.clone(), self.network.clone());
        tokio::task::spawn_blocking(move || container::unplug(&record, &network)).await?
    }

    /// Puts the network cable back; packets flow when this returns.
    pub async fn plug(&self) -> Result<()> {
        let (record, network) = (self.record.clone(), self.network.clone());
        tokio::task::spawn_blocking(move || container::plug(&record, &network)).await?
    }

    /// Freezes every process: connections stay open, nothing answers.
    pub async fn pause(&self) -> Result<()> {
        let id = self.id();
        tokio::task::spawn_blocking(move || record::runc(&["pause", &id]).map(drop)).await?
    }

    /// Thaws what [`pause`](Self::pause) froze.
    pub async fn resume(&self) -> Result<()> {
        let id = self.id();
        tokio::task::spawn_blocking(move || record::runc(&["resume", &id]).map(drop)).await?
    }

    /// Removes the machine and its disk.
    pub async fn remove(mut self) -> Result<()> {
        self.owned = false;
        let (record, network) = (self.record.clone(), self.network.clone());
        tokio::task::spawn_blocking(move || container::remove(&record, &network)).await?
    }

    pub(super) fn id(&self) -> String {
        self.record.id(&self.network)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.record.folder(&self.network)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its network may have gone first and taken it along.
        if self.owned
            && self.folder().exists()
            && let Err(error) = container::remove(&self.record, &self.network)
        {
            eprintln!("testbed: removing machine {}: {error:#}", self.name());
        }
    }
}

fn start(network: NetworkRecord, options: &MachineOptions) -> Result<Machine> {
    record::check_name("machine", &options.name)?;
    for mount in &options.mounts {
        if !mount.source.exists() {
            bail!("mount of machine {}: {} does not exist on this box", options.name, mount.source.display());
        }
    }
    let rootfs = rootfs::ensure_blocking()?;
    let record = {
        let _lock = paths::box_lock()?;
        let others = record::all(&network)?;
        if others.iter().any(|other| other.name == options.name) {
            bail!("network {} has a machine {:?} already", network.name, options.name);
        }
        let address = network::choose_address(&network, options.ip, &others)?;
        let record = MachineRecord {
            name: options.name.clone(),
            address,
            rootfs,
            mounts: options.mounts.clone(),
            pod_subnet: options.pod_subnet.clone(),
        };
        record.save(&network)?;
        record
    };
    // From here on dropping `machine` undoes whatever part was done.
    let machine = Machine { record, network, owned: true };
    let folder = machine.folder();
    disk::mount(&machine.record, &folder)?;
    disk::furnish(&machine.record, &machine.network, &folder, options)?;
    container::boot(&machine.record, &machine.network)?;
    Ok(machine)
}
